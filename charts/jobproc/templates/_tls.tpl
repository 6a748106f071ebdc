{{/* `https` if the API serves TLS itself, else `http`: also the name of its port. */}}
{{- define "jobproc.apiScheme" -}}
{{ ternary "https" "http" (ne .Values.api.tls.existingSecret "") }}
{{- end }}

{{/* URL of the API in the cluster, for operations that submit further jobs. */}}
{{- define "jobproc.apiUrl" -}}
{{ include "jobproc.apiScheme" . }}://{{ include "jobproc.fullname" . }}-api.{{ .Release.Namespace }}{{ if .Values.api.tls.existingSecret }}.svc{{ end }}:8000
{{- end }}

{{/* Volumes with certificates; mounted whole, so that they follow the Secret. Arguments: root, component. */}}
{{- define "jobproc.tlsVolumes" -}}
{{- $tls := .root.Values.api.tls }}
{{- if and $tls.existingSecret (eq .component "api") }}
- {name: tls, secret: {secretName: {{ $tls.existingSecret }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}}
{{- with $tls.clientCa.existingSecret }}
- {name: client-ca, secret: {secretName: {{ . }}, items: [{key: {{ $tls.clientCa.key }}, path: ca.crt}]}}
{{- end }}
{{- end }}
{{- if and $tls.existingSecret (has .component (list "worker" "test")) }}
- {name: api-ca, secret: {secretName: {{ $tls.existingSecret }}, optional: true, items: [{key: ca.crt, path: ca.crt}]}}
{{- end }}
{{- end }}

{{- define "jobproc.tlsMounts" -}}
{{- range include "jobproc.tlsVolumes" . | fromYamlArray }}
- {name: {{ .name }}, mountPath: /etc/jobproc/{{ .name }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The files of the certificates. Arguments: root, component. */}}
{{- define "jobproc.tlsEnv" -}}
{{- $tls := .root.Values.api.tls }}
{{- if $tls.existingSecret }}
{{- if eq .component "api" }}
- {name: JOBPROC_TLS_CERTIFICATE_FILE, value: /etc/jobproc/tls/tls.crt}
- {name: JOBPROC_TLS_KEY_FILE, value: /etc/jobproc/tls/tls.key}
{{- if $tls.clientCa.existingSecret }}
- {name: JOBPROC_TLS_CLIENT_CA_FILE, value: /etc/jobproc/client-ca/ca.crt}
{{- end }}
{{- else if not (hasKey (.root.Values.settings | default dict) "JOBPROC_API_CA_FILE") }}
- {name: JOBPROC_API_CA_FILE, value: /etc/jobproc/api-ca/ca.crt}
{{- end }}
{{- end }}
{{- end }}
