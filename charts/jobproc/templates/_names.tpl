{{- define "jobproc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{/* Selector labels, which never change. Arguments: root, component, pool (workers only). */}}
{{- define "jobproc.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
jobproc/pool: {{ . }}
{{- end }}
{{- end }}

{{/* Labels of the chart itself, which no value replaces: selectors need them. Arguments: root, component, pool. */}}
{{- define "jobproc.ownLabels" -}}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: jobproc
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{ include "jobproc.selector" . }}
{{- end }}

{{/* Metadata: name, namespace, labels, annotations. Arguments: root, component, pool, name, annotations. */}}
{{- define "jobproc.metadata" -}}
name: {{ .name | default (printf "%s-%s" (include "jobproc.fullname" .root) .component) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- merge (include "jobproc.ownLabels" . | fromYaml) (.labels | default dict) (.root.Values.commonLabels | default dict) | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Names under which clients call the API, as JOBPROC_ALLOWED_HOSTS. */}}
{{- define "jobproc.apiHosts" -}}
{{- $service := printf "%s-api.%s" (include "jobproc.fullname" .) .Release.Namespace -}}
{{- $hosts := list $service (printf "%s.svc" $service) (printf "%s.svc.cluster.local" $service) -}}
{{- if .Values.ingress.enabled -}}
{{- range .Values.ingress.hosts }}{{ $hosts = append $hosts .host }}{{ end -}}
{{- end -}}
{{- if .Values.httpRoute.enabled -}}
{{- $hosts = concat $hosts (.Values.httpRoute.hostnames | default list) -}}
{{- end -}}
{{- concat $hosts (.Values.api.allowedHosts | default list) | compact | join "," -}}
{{- end }}

{{/* Reference of an image. Arguments: root, image. */}}
{{- define "jobproc.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{/* Name of a ServiceAccount. Arguments: root, component, config. */}}
{{- define "jobproc.serviceAccount" -}}
{{- $account := .config.serviceAccount -}}
{{- default (ternary (printf "%s-%s" (include "jobproc.fullname" .root) .component) "default" $account.create) $account.name -}}
{{- end }}

{{/* Annotations of the migration: a hook with an external PostgreSQL, none (a plain Job) with the bundled one. */}}
{{- define "jobproc.migrateHook" -}}
{{- if not .Values.postgresql.enabled -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
{{- end }}

{{/* The names of the values that declare things for the migration, with a comma between them: queues, schedules. */}}
{{- define "jobproc.declared" -}}
{{- $declared := list }}
{{- range list "queues" "schedules" }}
{{- if not (kindIs "invalid" (get $.Values .)) }}
{{- $declared = append $declared . }}
{{- end }}
{{- end }}
{{- join "," $declared }}
{{- end }}
