{{/* Types of the triggers of all pools that KEDA scales, joined by spaces. */}}
{{- define "jobproc.triggers" -}}
{{- range (include "jobproc.pools" . | fromYaml).names }}
{{- with (include "jobproc.pool" (dict "root" $ "pool" .) | fromYaml).keda }}{{ if .enabled }}{{ .trigger }} {{ end }}{{ end }}
{{- end -}}
{{- end }}

{{/* The part of a KEDA trigger that depends on its type. Arguments: root, keda, queue, target. */}}
{{- define "jobproc.trigger" -}}
{{- $full := include "jobproc.fullname" .root -}}
{{- $namespace := .root.Release.Namespace -}}
{{- if eq .keda.trigger "metrics-api" -}}
metadata:
  url: http://{{ $full }}-controller.{{ $namespace }}.svc:9000/metrics
  format: prometheus
  valueLocation: {{ printf "jobproc_queue_depth{queue=%q}" .queue | squote }}
  targetValue: {{ .target | quote }}
  activationTargetValue: "0"
{{- else if eq .keda.trigger "prometheus" -}}
metadata:
  serverAddress: {{ .keda.prometheus.serverAddress }}
  query: {{ .keda.prometheus.query | replace "$queue" .queue | replace "$namespace" $namespace | squote }}
  threshold: {{ .target | quote }}
  activationThreshold: "0"
  ignoreNullValues: "false" # an empty result is a failed read, never 0
{{- with .keda.prometheus.authenticationRef }}
authenticationRef: {{- toYaml . | nindent 2 }}
{{- end }}
{{- else -}}
metadata:
  query: SELECT "{{ (.root.Values.settings | default dict).JOBPROC_DATABASE_SCHEMA | default "jobproc" }}".queue_depth('{{ .queue }}', 100000)
  targetQueryValue: {{ .target | quote }}
  activationTargetQueryValue: "0"
  {{- with include "jobproc.databaseMetadata" .root | trim }}{{ . | nindent 2 }}{{ end }}
authenticationRef: {name: {{ $full }}-database}
{{- end }}
{{- end }}

{{/* Plain connection parameters of KEDA's trigger `postgresql`; the others are in the TriggerAuthentication. */}}
{{- define "jobproc.databaseMetadata" -}}
{{- $role := ternary (printf "%s_metrics" .Values.databaseRoles.prefix) "" (ne (include "jobproc.rolesSecret" .) "") }}
{{- if .Values.postgresql.enabled }}
host: {{ include "jobproc.postgresql.fullname" .Subcharts.postgresql }}.{{ .Release.Namespace }}.svc
port: "5432"
userName: {{ $role | default .Values.postgresql.auth.username | quote }}
dbName: {{ .Values.postgresql.auth.database | quote }}
sslmode: prefer
{{- else if not .Values.externalDatabase.keys.url }}
{{- $external := .Values.externalDatabase }}
{{- range $part, $name := dict "host" "host" "port" "port" "user" "userName" "database" "dbName" }}
{{- if and $role (eq $part "user") }}
{{ $name }}: {{ $role | quote }}
{{- else if not (get $external.keys $part) }}
{{ $name }}: {{ get $external $part | toString | quote }}
{{- end }}
{{- end }}
sslmode: {{ $external.sslmode | default "prefer" }}
{{- end }}
{{- end }}
