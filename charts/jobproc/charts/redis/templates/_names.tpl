{{/* At most 52 characters: a label of the pods is this name and a hash of eleven, and has at most 63. */}}
{{- define "jobproc.redis.fullname" -}}
{{- default (printf "%s-redis" (.Release.Name | trunc 46 | trimSuffix "-")) .Values.fullnameOverride -}}
{{- end }}

{{- define "jobproc.redis.secret" -}}
{{- default (include "jobproc.redis.fullname" .) .Values.auth.existingSecret -}}
{{- end }}

{{- define "jobproc.redis.secretKey" -}}
{{- ternary .Values.auth.existingSecretKey "password" (ne .Values.auth.existingSecret "") -}}
{{- end }}

{{- define "jobproc.redis.serviceAccount" -}}
{{- $account := .Values.serviceAccount -}}
{{- default (ternary (include "jobproc.redis.fullname" .) "default" $account.create) $account.name -}}
{{- end }}

{{- define "jobproc.redis.selector" -}}
app.kubernetes.io/name: redis
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "jobproc.redis.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: jobproc
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
{{ include "jobproc.redis.selector" . }}
{{- end }}

{{- define "jobproc.redis.image" -}}
{{- with .Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end -}}
{{- end }}

{{- define "jobproc.redis.env" -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "jobproc.redis.secret" . }}, key: {{ include "jobproc.redis.secretKey" . }}}
{{- range list "api" "worker" "controller" }}
- name: {{ upper . }}_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "jobproc.redis.secret" $ }}, key: {{ . }}}
{{- end }}
{{- end }}
