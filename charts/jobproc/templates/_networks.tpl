{{/* DNS, without a destination: the cluster's DNS may be in kube-system or on the node. */}}
{{- define "jobproc.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* Pod selector for components of the release. Arguments: root, components. */}}
{{- define "jobproc.clients" -}}
matchLabels:
  app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
  app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: {{ toJson .components }}}
{{- end }}

{{/* Egress of the pods of a component. Arguments: root, component. */}}
{{- define "jobproc.egress" -}}
{{- $values := .root.Values -}}
{{- $policy := $values.networkPolicy -}}
{{- include "jobproc.dns" . }}
{{- if $values.postgresql.enabled }}
- ports: [{port: 5432, protocol: TCP}]
  to:
    - podSelector:
        matchLabels: {{- include "jobproc.postgresql.selector" .root.Subcharts.postgresql | nindent 10 }}
{{- else }}
- ports: [{port: {{ int $values.externalDatabase.port }}, protocol: TCP}]
  {{- with $policy.databaseTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if ne .component "migrate" }}
{{- if $values.redis.enabled }}
- ports: [{port: 6379, protocol: TCP}]
  to:
    - podSelector:
        matchLabels: {{- include "jobproc.redis.selector" .root.Subcharts.redis | nindent 10 }}
{{- else }}
- ports: [{port: {{ int $values.externalRedis.port }}, protocol: TCP}]
  {{- with $policy.redisTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- if and (eq .component "controller") (include "jobproc.costedPools" .root) }}
- ports:
    - {port: 443, protocol: TCP}
    - {port: 6443, protocol: TCP}
  {{- with $policy.kubernetesTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- if eq .component "api" }}
{{- with include "jobproc.oidcPort" .root }}
- ports: [{port: {{ . }}, protocol: TCP}]
  {{- with $policy.oidcTo }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- if eq .component "worker" }}
- ports: [{port: 8000, protocol: TCP}]
  to:
    - podSelector:
        matchLabels: {{- include "jobproc.selector" (dict "root" .root "component" "api") | nindent 10 }}
{{- with $policy.workerEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- with $policy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Ingress to /metrics. Argument: networkPolicy. */}}
{{- define "jobproc.scraped" -}}
- ports: [{port: metrics, protocol: TCP}]
  from: {{- toYaml .metricsFrom | nindent 4 }}
{{- end }}

{{/* Proxies whose forwarded addresses count: the private networks (RFC 1918, 4193, 6598) behind an Ingress or a Gateway. */}}
{{- define "jobproc.trustedProxies" -}}
{{- if .Values.api.trustedProxies -}}
{{- join "," .Values.api.trustedProxies -}}
{{- else if or .Values.ingress.enabled .Values.httpRoute.enabled -}}
10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7
{{- end -}}
{{- end }}
