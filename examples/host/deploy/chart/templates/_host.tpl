{{/* The container of the host. */}}
{{- define "code-service.hostContainer" -}}
{{- $variables := include "code-service.commonVariables" (dict "root" . "secrets" .Values.secrets) | fromYaml -}}
{{- $_ := mustMergeOverwrite $variables (include "code-service.hostVariables" . | fromYaml) .Values.env -}}
- name: {{ .Values.product.serviceName | quote }}
  image: {{ include "code-service.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [serve]
  env:
    {{- include "code-service.variables" $variables | trim | nindent 4 }}
  ports:
    - name: http
      containerPort: {{ .Values.service.port }}
  livenessProbe:
    {{- include "code-service.probe" .Values.probes.liveness | nindent 4 }}
  readinessProbe:
    {{- include "code-service.probe" .Values.probes.readiness | nindent 4 }}
  resources:
    {{- toYaml .Values.resources | nindent 4 }}
  securityContext:
    {{- include "code-service.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /config, readOnly: true}
    - {name: secrets, mountPath: /secrets, readOnly: true}
    {{- if .Values.fluentd.enabled }}
    - {name: logs, mountPath: /logs}
    {{- end }}
{{- end }}

{{/* What the host is told beside its files. */}}
{{- define "code-service.hostVariables" -}}
{{- with .Values }}
AWS_REGION: {{ .cluster.region | quote }}
{{- if and .serviceAccount.kube2iam .serviceAccount.roleArn }}
# kube2iam answers 403 when it is asked for IMDSv2's token; the role's credentials come the older way.
AWS_IMDSV1_FALLBACK: "true"
{{- end }}
ENVIRONMENT: {{ .environment }}
domain: {{ .cluster.domain | quote }}
profile: {{ .profile }}
DOCKER_IMAGE_TAG: {{ include "code-service.tag" $ | quote }}
TITAN_SERVICE__PORT: {{ .service.port }}
# What others count on is told from the same values, so that the two cannot disagree.
TITAN_SERVICE__STOP_DELAY: {{ int64 .stop.delaySeconds }}s
TITAN_SERVICE__STOP_TIMEOUT: {{ int64 .stop.timeoutSeconds }}s
TITAN_SERVICE__IDLE_TIMEOUT: {{ add .ingress.idleTimeoutSeconds 15 }}s
# Without a sidecar nobody would read the file; an empty variable takes it away.
TITAN_LOG__FILE: {{ .fluentd.enabled | ternary "/logs/titan.log" "" | quote }}
TITAN_METRICS__SYSTEM_METRIC_INTERVAL: {{ include "code-service.text" .metrics.systemMetricInterval }}
TITAN_TRACING__PRODUCT_CODE: {{ .product.code | quote }}
TITAN_TRACING__SERVICE_NAME: {{ .product.serviceName | quote }}
{{- end }}
{{- end }}

{{/* The sidecar that ships the log. */}}
{{- define "code-service.fluentd" -}}
{{- $variables := dict "SERVICE_NAME" .Values.product.serviceName "ENVIRONMENT" .Values.environment -}}
{{- $_ := set $variables "PRODUCT_CODE" .Values.product.code -}}
{{- $_ := mustMergeOverwrite $variables .Values.fluentd.env -}}
- name: fluentd
  image: {{ .Values.fluentd.image }}
  # Begins before the host and is ended after it, while an ordinary container would be ended at the same time.
  restartPolicy: Always
  env:
    {{- include "code-service.variables" $variables | trim | nindent 4 }}
  resources:
    {{- toYaml .Values.fluentd.resources | nindent 4 }}
  securityContext:
    {{- include "code-service.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: fluentd, mountPath: {{ .Values.fluentd.configFolder }}, readOnly: true}
    - {name: logs, mountPath: /logs}
    - {name: tmp, mountPath: /tmp}
{{- end }}
