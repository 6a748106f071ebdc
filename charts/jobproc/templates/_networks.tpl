{{/* DNS, without a destination: the cluster's DNS may be in kube-system or on the node. Its pods listen on 5353 in OpenShift. */}}
{{- define "jobproc.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
    - {port: 5353, protocol: UDP}
    - {port: 5353, protocol: TCP}
{{- end }}

{{/* Port of a URL. */}}
{{- define "jobproc.urlPort" -}}
{{- regexFind ":[0-9]+$" (regexFind "^[a-z]+://[^/?#]+" .) | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) -}}
{{- end }}

{{/* Ports of the OpenID provider, as JSON; empty: there is none. Behind 443 a gateway of the cluster may listen on 8443. */}}
{{- define "jobproc.oidcPorts" -}}
{{- if and .Values.authentication.enabled .Values.oidc.issuer -}}
{{- $ports := dict (include "jobproc.urlPort" .Values.oidc.issuer) "" -}}
{{- with (.Values.settings | default dict).JOBPROC_OIDC_JWKS_URL }}{{ $_ := set $ports (include "jobproc.urlPort" .) "" }}{{ end -}}
{{- if hasKey $ports "443" }}{{ $_ := set $ports "8443" "" }}{{ end -}}
{{- keys $ports | sortAlpha | toJson -}}
{{- end -}}
{{- end }}

{{/* Ports of the trace collectors that extraEnv names for a component, as JSON; empty: none. Arguments: root, component. */}}
{{- define "jobproc.collectorPorts" -}}
{{- $configs := list -}}
{{- if eq .component "worker" -}}
{{- range (include "jobproc.pools" .root | fromYaml).names }}{{ $configs = append $configs (include "jobproc.pool" (dict "root" $.root "pool" .) | fromYaml) }}{{ end -}}
{{- else -}}
{{- $configs = list (get .root.Values .component) -}}
{{- end -}}
{{- $ports := dict -}}
{{- range $configs }}{{ range .extraEnv }}
{{- if and .value (has .name (list "OTEL_EXPORTER_OTLP_ENDPOINT" "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) }}{{ $_ := set $ports (include "jobproc.urlPort" .value) "" }}{{ end }}
{{- end }}{{ end -}}
{{- if $ports }}{{ keys $ports | sortAlpha | toJson }}{{ end -}}
{{- end }}

{{/* A rule for TCP ports. Arguments: ports (JSON), to (peers; empty: any host). */}}
{{- define "jobproc.egressRule" }}
- ports:
    {{- range fromJsonArray .ports }}
    - {port: {{ int . }}, protocol: TCP}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
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
{{- include "jobproc.egressRule" (dict "ports" (toJson $policy.kubernetesPorts) "to" $policy.kubernetesTo) }}
{{- end }}
{{- if eq .component "api" }}
{{- with include "jobproc.oidcPorts" .root }}
{{- include "jobproc.egressRule" (dict "ports" . "to" $policy.oidcTo) }}
{{- end }}
{{- end }}
{{- with include "jobproc.collectorPorts" . }}
{{- include "jobproc.egressRule" (dict "ports" . "to" $policy.collectorTo) }}
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

{{/* Ingress to /metrics. Arguments: root, component. */}}
{{- define "jobproc.scraped" -}}
{{- $policy := .root.Values.networkPolicy -}}
- ports: [{port: metrics, protocol: TCP}]
  {{- with $policy.metricsFrom }}
  from:
    {{- toYaml . | nindent 4 }}
    {{- if and (eq $.component "controller") (contains "metrics-api" (include "jobproc.triggers" $.root)) }}
    {{- with $policy.kedaFrom }}{{ toYaml . | nindent 4 }}{{ end }}
    {{- end }}
  {{- end }}
{{- end }}

{{/* Proxies whose forwarded addresses count: the private networks (RFC 1918, 4193, 6598) behind an Ingress or a Gateway. */}}
{{- define "jobproc.trustedProxies" -}}
{{- if .Values.api.trustedProxies -}}
{{- join "," .Values.api.trustedProxies -}}
{{- else if or .Values.ingress.enabled .Values.httpRoute.enabled -}}
10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fc00::/7
{{- end -}}
{{- end }}
