{{/* YAML of a pool's values: its own merged over `worker`, its `keda` merged over `keda`. Arguments: root, pool. */}}
{{- define "jobproc.pool" -}}
{{- $own := get .root.Values.worker.pools .pool -}}
{{- $pool := mergeOverwrite (deepCopy (omit .root.Values.worker "pools" "requiredQueues")) (deepCopy (omit $own "keda")) -}}
{{- $keda := mergeOverwrite (deepCopy .root.Values.keda) (deepCopy (dig "keda" dict $own)) -}}
{{- $scaled := or $keda.enabled $pool.autoscaling.enabled -}}
{{- mergeOverwrite $pool (dict "keda" $keda "scaled" $scaled "most" (ternary $pool.maxReplicas $pool.replicas $scaled)) | toYaml -}}
{{- end }}

{{/* Names of the pools, sorted; a pool that an overlay set to null is omitted. */}}
{{- define "jobproc.pools" -}}
{{- $names := list -}}
{{- range $name, $pool := .Values.worker.pools }}{{ if $pool }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{- dict "names" $names | toYaml -}}
{{- end }}

{{/* Names of the pools whose pods have a deletion cost, joined by commas; empty: none. */}}
{{- define "jobproc.costedPools" -}}
{{- $root := . -}}
{{- $names := list -}}
{{- range (include "jobproc.pools" . | fromYaml).names }}
{{- if (include "jobproc.pool" (dict "root" $root "pool" .) | fromYaml).podDeletionCost.enabled }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- join "," $names -}}
{{- end }}

{{/* YAML of the maximum number of connections that all pods may hold (`total`), and its calculation (`sum`). */}}
{{- define "jobproc.connections" -}}
{{- $root := . -}}
{{- $pods := ternary (int .Values.api.autoscaling.maxReplicas) (int .Values.api.replicas) .Values.api.autoscaling.enabled -}}
{{- $each := dig "JOBPROC_API_POOL_CONNECTIONS" 5 (.Values.settings | default dict) | int -}}
{{- $total := add (mul $pods $each) (mul 3 (int .Values.controller.replicas)) -}}
{{- $sum := list (printf "api %d pods x %d" $pods $each) -}}
{{- range (include "jobproc.pools" . | fromYaml).names }}
{{- $pool := include "jobproc.pool" (dict "root" $root "pool" .) | fromYaml -}}
{{- /* A process that delivers webhooks has one for async jobs, and one for endpoints. */ -}}
{{- $connections := mul (int $pool.concurrency) (ternary 3 1 (has "webhooks" $pool.queues)) -}}
{{- $total = add $total (mul (int $pool.most) (add 2 $connections)) -}}
{{- $sum = append $sum (printf "pool %s %d pods x (%d + 2)" . (int $pool.most) $connections) -}}
{{- end -}}
{{- $sum = append $sum (printf "controller %d pods x 3" (int .Values.controller.replicas)) -}}
{{- dict "total" $total "sum" (join ", " $sum) | toYaml -}}
{{- end }}
