{{/* Secret with the first API key; empty: authentication is off. */}}
{{- define "jobproc.firstKeySecret" -}}
{{- if .Values.authentication.enabled -}}
{{- .Values.authentication.firstKey.existingSecret | default (printf "%s-first-api-key" (include "jobproc.fullname" .)) -}}
{{- end -}}
{{- end }}

{{/* A variable with the first API key. Arguments: root, name. */}}
{{- define "jobproc.firstKeyEnv" -}}
{{- with include "jobproc.firstKeySecret" .root }}
{{- include "jobproc.fromSecret" (dict "name" $.name "secret" . "key" $.root.Values.authentication.firstKey.key) }}
{{- end }}
{{- end }}

{{/* What the API needs to know its callers. */}}
{{- define "jobproc.authenticationEnv" -}}
{{- if .Values.authentication.enabled }}
- {name: JOBPROC_AUTHENTICATION, value: required}
{{- if not .Values.authentication.consoleSignIn }}
- {name: JOBPROC_CONSOLE_SIGN_IN, value: "false"}
{{- end }}
{{- $oidc := .Values.oidc }}
{{- if $oidc.issuer }}
- {name: JOBPROC_OIDC_ISSUER, value: {{ $oidc.issuer | quote }}}
- {name: JOBPROC_OIDC_AUDIENCES, value: {{ join "," $oidc.audiences | quote }}}
- {name: JOBPROC_OIDC_TENANT_CLAIM, value: {{ $oidc.tenantClaim | quote }}}
- {name: JOBPROC_OIDC_SCOPES_CLAIMS, value: {{ join "," $oidc.scopesClaims | quote }}}
{{- with $oidc.tenantMapping }}
- {name: JOBPROC_OIDC_TENANT_MAPPING, value: {{ toJson . | quote }}}
{{- end }}
{{- with $oidc.defaultTenant }}
- {name: JOBPROC_OIDC_DEFAULT_TENANT, value: {{ . | quote }}}
{{- end }}
{{- with $oidc.scopesMapping }}
- {name: JOBPROC_OIDC_SCOPES_MAPPING, value: {{ toJson . | quote }}}
{{- end }}
{{- if $oidc.clientId }}
- {name: JOBPROC_OIDC_CLIENT_ID, value: {{ $oidc.clientId | quote }}}
- {name: JOBPROC_OIDC_REDIRECT_URL, value: {{ $oidc.redirectUrl | quote }}}
- {name: JOBPROC_OIDC_SIGN_IN_SCOPE, value: {{ join " " $oidc.signInScopes | quote }}}
{{- end }}
{{- if $oidc.ca.configMap }}
- {name: JOBPROC_OIDC_CA_FILE, value: /etc/jobproc/oidc/ca.crt}
{{- end }}
{{- end }}
{{- else }}
- {name: JOBPROC_AUTHENTICATION, value: "off"}
- {name: JOBPROC_UNAUTHENTICATED_NETWORK, value: "true"}
{{- end }}
{{- end }}

{{/* Name of the ConfigMap with the provider's certificate authority, for pods of the API. Arguments: root, component. */}}
{{- define "jobproc.oidcCa" -}}
{{- if and (eq .component "api") .root.Values.authentication.enabled .root.Values.oidc.issuer -}}
{{ .root.Values.oidc.ca.configMap }}
{{- end -}}
{{- end }}
