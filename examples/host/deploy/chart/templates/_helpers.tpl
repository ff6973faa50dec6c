{{/* Every object has the name of the release; what belongs to one has a word behind it, for which Helm's limit of 53
characters leaves room. */}}

{{- define "code-service.selector" -}}
app.kubernetes.io/name: code-service
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "code-service.labels" -}}
{{ include "code-service.selector" . }}
app.kubernetes.io/version: {{ include "code-service.tag" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{ include "code-service.owner" . }}
{{- end }}

{{/* Quoted: a code may look like a number. */}}
{{- define "code-service.owner" -}}
product-code: {{ .Values.product.code | quote }}
inventory-code: {{ .Values.product.inventoryCode | quote }}
environment: {{ .Values.environment | quote }}
cluster: {{ .Values.cluster.name | quote }}
account-type: {{ .Values.cluster.accountType | quote }}
{{- end }}

{{- define "code-service.tag" -}}
{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "code-service.image" -}}
{{ .Values.image.repository }}:{{ include "code-service.tag" . }}
{{- end }}

{{- define "code-service.host" -}}
{{- with .Values -}}
{{ .ingress.host | default (printf "%s.%s.%s.%s" $.Release.Name .product.acronym .cluster.name .cluster.domain) }}
{{- end }}
{{- end }}

{{- define "code-service.serviceAccount" -}}
serviceAccountName: {{ include "code-service.serviceAccountName" . }}
# Nothing here calls Kubernetes. The token for the IAM role is another one.
automountServiceAccountToken: false
{{- end }}

{{- define "code-service.noServiceLinks" -}}
# Kubernetes would tell of a service called titan-… in variables TITAN_…, which the host refuses.
enableServiceLinks: false
{{- end }}

{{- define "code-service.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (ternary .Release.Name "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* The files of the host's configuration, as a ConfigMap's data. */}}
{{- define "code-service.config" -}}
{{- $name := printf "%s.yaml" .Values.environment -}}
{{- $file := .Files.Get (printf "files/config/%s" $name) -}}
default.yaml: |
  {{- .Files.Get "files/config/default.yaml" | trim | nindent 2 }}
{{ $name }}: |
  {{- if .Values.config }}
  {{- mustMergeOverwrite (fromYaml $file) .Values.config | toYaml | nindent 2 }}
  {{- else }}
  {{- $file | trim | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The names of secrets that the host is given as files, and the variables that name the files to it. */}}
{{- define "code-service.secretVariables" -}}
mongoPassword: TITAN_MONGO__PASSWORD_FILE
mongoUri: TITAN_MONGO__URI_FILE
jwtPublicKey: TITAN_JWT__PUBLIC_KEY_FILE
jwtPreviousPublicKey: TITAN_JWT__PREVIOUS_PUBLIC_KEY_FILE
jwtPrivateKey: TITAN_JWT__PRIVATE_KEY_FILE
tracingAccessToken: TITAN_TRACING__ACCESS_TOKEN_FILE
{{- end }}

{{/* A value as the text of a variable. Helm reads every number as a float, and would write 1e+06 for a million. */}}
{{- define "code-service.text" -}}
{{- if and (kindIs "float64" .) (eq (toString (floor .)) (toString .)) -}}
{{ int64 . }}
{{- else -}}
{{ . }}
{{- end }}
{{- end }}

{{/* Variables, from a dictionary: sorted, and each name once. */}}
{{- define "code-service.variables" -}}
{{- range $name, $value := . -}}
- name: {{ $name }}
  value: {{ include "code-service.text" $value | quote }}
{{ end }}
{{- end }}

{{/* What every process of the host is told; `secrets` are those that it is given. */}}
{{- define "code-service.commonVariables" -}}
NODE_ENV: {{ .root.Values.environment }}
NODE_CONFIG_DIR: /config
{{- $variables := include "code-service.secretVariables" .root | fromYaml }}
{{- range $name, $_ := .secrets }}
{{ get $variables $name }}: /secrets/{{ $name }}
{{- end }}
{{- end }}

{{- define "code-service.secretsVolume" -}}
- name: secrets
  projected:
    # Readable by the group that the pod runs as.
    defaultMode: 0440
    sources:
      {{- range $name, $secret := . }}
      - secret:
          name: {{ $secret.name }}
          items:
            - {key: {{ $secret.key }}, path: {{ $name }}}
      {{- end }}
{{- end }}

{{/* What the Pod Security Standard "restricted" asks for, and more. */}}
{{- define "code-service.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "code-service.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "code-service.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
initialDelaySeconds: {{ .initialDelaySeconds }}
timeoutSeconds: {{ .timeoutSeconds }}
periodSeconds: {{ .periodSeconds }}
failureThreshold: {{ .failureThreshold }}
{{- end }}

{{/* The fewest pods that the release may run with. */}}
{{- define "code-service.fewestPods" -}}
{{ .Values.autoscaling.enabled | ternary .Values.autoscaling.minReplicas .Values.replicas }}
{{- end }}

{{- define "code-service.gracePeriod" -}}
{{ add .delaySeconds .timeoutSeconds .lastSeconds .logsSeconds }}
{{- end }}
