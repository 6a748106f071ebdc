{{/*
Environment variables for the connections to PostgreSQL and Redis. Passwords are variables of their own, so no character
needs to be encoded.
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

{{/* Secret with the passwords of the roles of the parts; empty: all parts connect with the role of the migration. */}}
{{- define "jobproc.rolesSecret" -}}
{{- if .Values.databaseRoles.enabled -}}
{{- with .Values.databaseRoles.existingSecret }}{{ . }}{{ else }}{{ if .Values.postgresql.enabled }}{{ include "jobproc.fullname" . }}-database-roles{{ end }}{{ end -}}
{{- end -}}
{{- end }}

{{/* User and password of a part's own role; empty for the migration, which creates the roles. Arguments: root, component. */}}
{{- define "jobproc.roleEnv" -}}
{{- $secret := include "jobproc.rolesSecret" .root }}
{{- if and $secret (ne .component "migrate") }}
{{- include "jobproc.fromSecret" (dict "name" "PGUSER" "value" (printf "%s_%s" .root.Values.databaseRoles.prefix .component)) }}
{{- include "jobproc.fromSecret" (dict "name" "PGPASSWORD" "secret" $secret "key" .component) }}
{{- end }}
{{- end }}

{{/* What the migration needs to create the roles. */}}
{{- define "jobproc.rolesEnv" -}}
{{- with include "jobproc.rolesSecret" . }}
- {name: JOBPROC_DATABASE_ROLES, value: {{ $.Values.databaseRoles.prefix | quote }}}
{{- range list "api" "worker" "controller" "metrics" }}
{{- include "jobproc.fromSecret" (dict "name" (printf "JOBPROC_%s_DATABASE_PASSWORD" (upper .)) "secret" (include "jobproc.rolesSecret" $) "key" .) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Arguments: root, component. */}}
{{- define "jobproc.databaseEnv" -}}
{{- $own := include "jobproc.roleEnv" . }}
{{- with .root }}
{{- if .Values.postgresql.enabled }}
{{- $postgresql := .Subcharts.postgresql }}
{{- if $own }}{{ $own }}{{ else }}
{{- include "jobproc.fromSecret" (dict "name" "PGUSER" "value" .Values.postgresql.auth.username) }}
{{- include "jobproc.fromSecret" (dict "name" "PGPASSWORD" "secret" (include "jobproc.postgresql.secret" $postgresql) "key" (include "jobproc.postgresql.secretKey" $postgresql)) }}
{{- end }}
- {name: DATABASE_URL, value: {{ printf "postgresql://%s:5432/%s" (include "jobproc.postgresql.fullname" $postgresql) .Values.postgresql.auth.database | quote }}}
{{- else }}
{{- $external := .Values.externalDatabase }}
{{- $secret := $external.existingSecret }}
{{- if $external.keys.url }}
{{- include "jobproc.fromSecret" (dict "name" "DATABASE_URL" "secret" $secret "key" $external.keys.url) }}
{{- else }}
{{- range $part, $name := dict "host" "PGHOST" "port" "PGPORT" "user" "PGUSER" "password" "PGPASSWORD" "database" "PGDATABASE" }}
{{- if not (and $own (has $part (list "user" "password"))) }}
{{- include "jobproc.fromSecret" (dict "name" $name "secret" $secret "key" (get $external.keys $part) "value" (get $external $part)) }}
{{- end }}
{{- end }}
{{- $own }}
- {name: DATABASE_URL, value: postgresql://$(PGHOST):$(PGPORT)/$(PGDATABASE)}
{{- end }}
{{- with $external.sslmode }}
- {name: PGSSLMODE, value: {{ . }}}
{{- end }}
{{- with $external.sslrootcert }}
- {name: PGSSLROOTCERT, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Arguments: root, component, which is the user of the bundled Redis too. */}}
{{- define "jobproc.redisEnv" -}}
{{- $user := .component }}
{{- with .root }}
{{- if .Values.redis.enabled }}
{{- $redis := .Subcharts.redis }}
{{- include "jobproc.fromSecret" (dict "name" "JOBPROC_REDIS_PASSWORD" "secret" (include "jobproc.redis.secret" $redis) "key" $user) }}
- {name: REDIS_URL, value: {{ printf "redis://%s@%s:6379/0" $user (include "jobproc.redis.fullname" $redis) | quote }}}
{{- else }}
{{- $external := .Values.externalRedis }}
{{- if $external.keys.url }}
{{- include "jobproc.fromSecret" (dict "name" "REDIS_URL" "secret" $external.existingSecret "key" $external.keys.url) }}
{{- else }}
{{- range $part, $name := dict "host" "REDIS_HOST" "port" "REDIS_PORT" "password" "JOBPROC_REDIS_PASSWORD" }}
{{- include "jobproc.fromSecret" (dict "name" $name "secret" $external.existingSecret "key" (get $external.keys $part) "value" (get $external $part | default "")) }}
{{- end }}
- {name: REDIS_URL, value: {{ printf "%s://$(REDIS_HOST):$(REDIS_PORT)/%d" (ternary "rediss" "redis" $external.tls) (int $external.database) | quote }}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
