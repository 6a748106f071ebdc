{{/*
Parts that all pods of jobproc share. Arguments: root, component, pool (workers only), config (the component's values),
image, token (true if the pod uses the Kubernetes API).
*/}}

{{- define "jobproc.podMetadata" -}}
{{- $own := merge (include "jobproc.selector" . | fromYaml) (dict "app.kubernetes.io/part-of" "jobproc") }}
labels:
  {{- merge $own (.config.podLabels | default dict) (.root.Values.commonLabels | default dict) | toYaml | nindent 2 }}
annotations:
  {{- $checksum := dict "checksum/credentials" (include "jobproc.credentials" .root | sha256sum) }}
  {{- mergeOverwrite $checksum (.config.podAnnotations | default dict) | toYaml | nindent 2 }}
{{- end }}

{{/* Values that determine the credentials, so that a change restarts the pods. A chart rendered without access to the
cluster cannot read the Secret itself. */}}
{{- define "jobproc.credentials" -}}
{{- list .Values.externalDatabase .Values.databaseRoles .Values.externalRedis (dig "auth" "" .Values.postgresql) (dig "auth" "" .Values.redis) | toJson -}}
{{- end }}

{{- define "jobproc.podSpec" -}}
enableServiceLinks: false
automountServiceAccountToken: {{ .token | default false }}
serviceAccountName: {{ include "jobproc.serviceAccount" . }}
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .config.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .config.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if hasKey .config "topologySpreadConstraints" }}
{{- with .config.topologySpreadConstraints | default (include "jobproc.spread" . | fromYamlArray) }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
volumes:
  - {name: tmp, emptyDir: {sizeLimit: 256Mi}}
  {{- with include "jobproc.secretSources" . }}
  - {name: secrets, projected: {defaultMode: 0444, sources: {{ . }}}}
  {{- end }}
  {{- with include "jobproc.oidcCa" . }}
  - {name: oidc-ca, configMap: {name: {{ . }}, items: [{key: {{ $.root.Values.oidc.ca.key }}, path: ca.crt}]}}
  {{- end }}
  {{- with include "jobproc.tlsVolumes" . | trim }}{{ . | nindent 2 }}{{ end }}
  {{- with .config.extraVolumes }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- define "jobproc.spread" -}}
{{- $spread := .root.Values.topologySpread -}}
{{- range $spread.topologyKeys }}
- topologyKey: {{ . }}
  maxSkew: {{ int $spread.maxSkew }}
  whenUnsatisfiable: {{ $spread.whenUnsatisfiable }}
  labelSelector:
    matchLabels: {{- include "jobproc.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}

{{/* Image, security context, resources and mounts of a container. */}}
{{- define "jobproc.container" -}}
image: {{ include "jobproc.image" . }}
imagePullPolicy: {{ .image.pullPolicy }}
securityContext: {{- toYaml .root.Values.securityContext | nindent 2 }}
resources: {{- toYaml .config.resources | nindent 2 }}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if include "jobproc.secretSources" . }}
  - {name: secrets, mountPath: {{ include "jobproc.secretFolder" . }}, readOnly: true}
  {{- end }}
  {{- if include "jobproc.oidcCa" . }}
  - {name: oidc-ca, mountPath: /etc/jobproc/oidc, readOnly: true}
  {{- end }}
  {{- with include "jobproc.tlsMounts" . | trim }}{{ . | nindent 2 }}{{ end }}
  {{- with .config.extraVolumeMounts }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with .config.extraEnvFrom }}
envFrom: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The initContainer that waits for the schema of this version: new code never runs on an old schema. */}}
{{- define "jobproc.waitForSchema" -}}
name: schema
command: [python, -m, common.migrate, --wait, {{ int .root.Values.migrate.waitSeconds | quote }}]
env: {{- include "jobproc.env" (merge (dict "withoutRedis" true) .) | trim | nindent 2 }}
{{ include "jobproc.container" . }}
{{- end }}

{{/* The variables of a container. With `secretFiles` those of a Secret name the files that a volume has instead. */}}
{{- define "jobproc.env" -}}
{{- if .root.Values.secretFiles }}
{{- range include "jobproc.allEnv" . | fromYamlArray }}
{{- if include "jobproc.isSecret" . }}
- {name: {{ include "jobproc.fileVariable" . }}, value: {{ printf "%s/%s" (include "jobproc.secretFolder" $) .name }}}
{{- else }}
- {{ toJson . }}
{{- end }}
{{- end }}
{{- else }}
{{- include "jobproc.allEnv" . }}
{{- end }}
{{- end }}

{{/* "true" for a variable of jobproc that a key of a Secret gives and that jobproc reads from a file too. */}}
{{- define "jobproc.isSecret" -}}
{{- $names := list "DATABASE_URL" "REDIS_URL" "PGPASSWORD" "JOBPROC_CURSOR_KEY" "JOBPROC_WEBHOOK_ENCRYPTION_KEY" "JOBPROC_OIDC_CLIENT_SECRET" }}
{{- if and (dig "valueFrom" "secretKeyRef" "" .) (or (has .name $names) (regexMatch "^JOBPROC_.*_PASSWORD$" .name)) }}true{{ end }}
{{- end }}

{{- define "jobproc.fileVariable" -}}
{{ ternary "JOBPROC_DATABASE_PASSWORD" .name (eq .name "PGPASSWORD") }}_FILE
{{- end }}

{{- define "jobproc.secretFolder" -}}
/run/secrets/jobproc
{{- end }}

{{/* The sources of the volume with the secrets of a pod, as JSON; empty: it has none. */}}
{{- define "jobproc.secretSources" -}}
{{- if and .root.Values.secretFiles (ne .component "test") }}
{{- $sources := dict }}
{{- range include "jobproc.allEnv" . | fromYamlArray }}
{{- if include "jobproc.isSecret" . }}
{{- $from := .valueFrom.secretKeyRef }}
{{- $_ := set $sources .name (dict "secret" (dict "name" $from.name "items" (list (dict "key" $from.key "path" .name)))) }}
{{- end }}
{{- end }}
{{- $all := list }}
{{- range $source := $sources }}{{ $all = append $all $source }}{{ end }}
{{- if $all }}{{ toJson $all }}{{ end }}
{{- end }}
{{- end }}

{{/* Settings, the connections to PostgreSQL and (unless withoutRedis) Redis, the roles of the migration, extraEnv. */}}
{{- define "jobproc.allEnv" -}}
{{- range $name, $value := merge (dict) (.root.Values.settings | default dict) (dict "JOBPROC_ENVIRONMENT" "production") }}
- {name: {{ $name }}, value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}}
{{- end }}
{{- include "jobproc.databaseEnv" . }}
{{- if not .withoutRedis }}{{ include "jobproc.redisEnv" . }}{{ end }}
{{- if eq .component "migrate" }}{{ include "jobproc.rolesEnv" .root }}{{ end }}
{{- if or (eq .component "api") (and (eq .component "worker") (has "webhooks" (.config.queues | default list))) }}
{{- with .root.Values.webhooks.encryptionKey.existingSecret }}
{{- include "jobproc.fromSecret" (dict "name" "JOBPROC_WEBHOOK_ENCRYPTION_KEY" "secret" . "key" $.root.Values.webhooks.encryptionKey.key) }}
{{- end }}
{{- end }}
{{- if and (eq .component "api") .root.Values.authentication.enabled .root.Values.oidc.clientId }}
{{- with .root.Values.oidc.clientSecret.existingSecret }}
{{- include "jobproc.fromSecret" (dict "name" "JOBPROC_OIDC_CLIENT_SECRET" "secret" . "key" $.root.Values.oidc.clientSecret.key) }}
{{- end }}
{{- end }}
{{- with .config.extraEnv }}{{ toYaml . | nindent 0 }}{{ end }}
{{- end }}
