{{/*
Environment variables for the connections to PostgreSQL and Redis. User and password of PostgreSQL are passed as PGUSER
and PGPASSWORD, which both drivers read, so no character needs to be encoded.
A variable comes from the key of the Secret if `key` is set, else from `value`. Arguments: root, name, key, value.
*/}}
{{- define "jobproc.fromSecret" }}
{{- if .key }}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}
{{- else }}
- {name: {{ .name }}, value: {{ .value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "jobproc.databaseEnv" -}}
{{- if .Values.postgresql.enabled }}
{{- $postgresql := .Subcharts.postgresql }}
{{- include "jobproc.fromSecret" (dict "name" "PGUSER" "value" .Values.postgresql.auth.username) }}
{{- include "jobproc.fromSecret" (dict "name" "PGPASSWORD" "secret" (include "jobproc.postgresql.secret" $postgresql) "key" (include "jobproc.postgresql.secretKey" $postgresql)) }}
- {name: DATABASE_URL, value: {{ printf "postgresql://%s:5432/%s" (include "jobproc.postgresql.fullname" $postgresql) .Values.postgresql.auth.database | quote }}}
{{- else }}
{{- $external := .Values.externalDatabase }}
{{- $secret := $external.existingSecret }}
{{- if $external.keys.url }}
{{- include "jobproc.fromSecret" (dict "name" "DATABASE_URL" "secret" $secret "key" $external.keys.url) }}
{{- else }}
{{- range $part, $name := dict "host" "PGHOST" "port" "PGPORT" "user" "PGUSER" "password" "PGPASSWORD" "database" "PGDATABASE" }}
{{- include "jobproc.fromSecret" (dict "name" $name "secret" $secret "key" (get $external.keys $part) "value" (get $external $part)) }}
{{- end }}
- {name: DATABASE_URL, value: postgresql://$(PGHOST):$(PGPORT)/$(PGDATABASE)}
{{- end }}
{{- with $external.sslmode }}
- {name: PGSSLMODE, value: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "jobproc.redisEnv" -}}
{{- if .Values.redis.enabled }}
{{- $redis := .Subcharts.redis }}
{{- include "jobproc.fromSecret" (dict "name" "REDIS_PASSWORD" "secret" (include "jobproc.redis.secret" $redis) "key" (include "jobproc.redis.secretKey" $redis)) }}
- {name: REDIS_URL, value: {{ printf "redis://:$(REDIS_PASSWORD)@%s:6379/0" (include "jobproc.redis.fullname" $redis) | quote }}}
{{- else }}
{{- $external := .Values.externalRedis }}
{{- if $external.keys.url }}
{{- include "jobproc.fromSecret" (dict "name" "REDIS_URL" "secret" $external.existingSecret "key" $external.keys.url) }}
{{- else }}
{{- range $part, $name := dict "host" "REDIS_HOST" "port" "REDIS_PORT" "password" "REDIS_PASSWORD" }}
{{- include "jobproc.fromSecret" (dict "name" $name "secret" $external.existingSecret "key" (get $external.keys $part) "value" (get $external $part | default "")) }}
{{- end }}
- {name: REDIS_URL, value: {{ printf "%s://%s$(REDIS_HOST):$(REDIS_PORT)/%d" (ternary "rediss" "redis" $external.tls) (ternary ":$(REDIS_PASSWORD)@" "" (ne $external.keys.password "")) (int $external.database) | quote }}}
{{- end }}
{{- end }}
{{- end }}
