{{/* At most 52 characters: a label of the pods is this name and a hash of eleven, and has at most 63. */}}
{{- define "jobproc.postgresql.fullname" -}}
{{- default (printf "%s-postgresql" (.Release.Name | trunc 41 | trimSuffix "-")) .Values.fullnameOverride -}}
{{- end }}

{{- define "jobproc.postgresql.secret" -}}
{{- default (include "jobproc.postgresql.fullname" .) .Values.auth.existingSecret -}}
{{- end }}

{{- define "jobproc.postgresql.secretKey" -}}
{{- ternary .Values.auth.existingSecretKey "password" (ne .Values.auth.existingSecret "") -}}
{{- end }}

{{- define "jobproc.postgresql.serviceAccount" -}}
{{- $account := .Values.serviceAccount -}}
{{- default (ternary (include "jobproc.postgresql.fullname" .) "default" $account.create) $account.name -}}
{{- end }}

{{- define "jobproc.postgresql.selector" -}}
app.kubernetes.io/name: postgresql
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "jobproc.postgresql.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: jobproc
app.kubernetes.io/version: {{ .Values.image.tag | quote }}
{{ include "jobproc.postgresql.selector" . }}
{{- end }}

{{- define "jobproc.postgresql.image" -}}
{{- with .Values.global.imageRegistry }}{{ . }}/{{ end }}{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag }}{{ end -}}
{{- end }}

{{- define "jobproc.postgresql.env" -}}
# One folder for every major version: a newer server then refuses to start, instead of creating an empty database.
- {name: PGDATA, value: /var/lib/postgresql/pgdata}
- {name: POSTGRES_USER, value: {{ .Values.auth.username | quote }}}
- {name: POSTGRES_DB, value: {{ .Values.auth.database | quote }}}
- name: POSTGRES_PASSWORD
  valueFrom:
    secretKeyRef: {name: {{ include "jobproc.postgresql.secret" . }}, key: {{ include "jobproc.postgresql.secretKey" . }}}
{{- end }}

{{- define "jobproc.postgresql.mounts" -}}
- {name: data, mountPath: /var/lib/postgresql}
- {name: run, mountPath: /var/run/postgresql}
- {name: tmp, mountPath: /tmp}
{{- end }}
