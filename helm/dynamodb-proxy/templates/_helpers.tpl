{{- define "dynamodb-proxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 50 characters: suffixes must still fit into 63. */}}
{{- define "dynamodb-proxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "dynamodb-proxy.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "dynamodb-proxy.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "dynamodb-proxy.selector" -}}
app.kubernetes.io/name: {{ include "dynamodb-proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{- define "dynamodb-proxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "dynamodb-proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ .Values.mode }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "dynamodb-proxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dynamodb-proxy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dynamodb-proxy.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "dynamodb-proxy.policiesConfigMap" -}}
{{- default (printf "%s-policies" (include "dynamodb-proxy.fullname" .)) .Values.policies.existingConfigMap -}}
{{- end -}}

{{/*
proxy.yaml: what the chart decides, then the user's settings, then what a pod needs other than the gateway's own defaults: bodies
held at once (512 MiB) must fit into the container's memory. A sidecar listens on loopback only and leaves at once.
*/}}
{{- define "dynamodb-proxy.settings" -}}
{{- $ours := dict "policies" "/etc/dynamodb-proxy/policies" -}}
{{- $bodies := ternary 33685504 134217728 (eq .Values.mode "sidecar") -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $_ := set $ours "listen" "127.0.0.1:8080" -}}
{{- $_ := set $ours "admin_listen" "127.0.0.1:9090" -}}
{{- $_ := set $ours "drain_delay_seconds" 0 -}}
{{- $_ := set $ours "drain_timeout_seconds" 10 -}}
{{- else -}}
{{- $_ := set $ours "listen" "0.0.0.0:8080" -}}
{{- $_ := set $ours "admin_listen" "0.0.0.0:9090" -}}
{{- $_ := set $ours "drain_delay_seconds" .Values.drain.delaySeconds -}}
{{- $_ := set $ours "drain_timeout_seconds" .Values.drain.timeoutSeconds -}}
{{- if .Values.tls.existingSecret -}}
{{- $_ := set $ours "tls" (dict "certificate" "/etc/dynamodb-proxy/tls/tls.crt" "key" "/etc/dynamodb-proxy/tls/tls.key") -}}
{{- else -}}
{{- $_ := set $ours "insecure_plaintext" true -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "sidecar" -}}
{{- $_ := set $ours "sessions" (dict "key_file" "/run/dynamodb-proxy/sessions.key") -}}
{{- else if .Values.sessions.existingSecret -}}
{{- $_ := set $ours "sessions" (dict "key_file" "/etc/dynamodb-proxy/sessions/keys") -}}
{{- end -}}
{{- if .Values.denyList.existingConfigMap -}}
{{- $_ := set $ours "deny_list" "/etc/dynamodb-proxy/deny/denied.yaml" -}}
{{- end -}}
{{- $admin := dict -}}
{{- range $key := list "socket" "issuer" "subjects" -}}
{{- with get $.Values.admin $key -}}
{{- $_ := set $admin $key . -}}
{{- end -}}
{{- end -}}
{{- if $admin -}}
{{- $_ := set $ours "admin" $admin -}}
{{- end -}}
{{- if .Values.admin.insecurePlaintext -}}
{{- $_ := set $ours "insecure_plaintext" true -}}
{{- end -}}
{{- merge $ours (deepCopy .Values.settings) (dict "limits" (dict "body_bytes_total" $bodies)) | toYaml -}}
{{- end -}}

{{/* Everything that must be decided, told at once. */}}
{{- define "dynamodb-proxy.check" -}}
{{- $mistakes := list -}}
{{- if not .Values.settings.issuers -}}
{{- $mistakes = append $mistakes "settings.issuers is missing: name who signs the callers' tokens" -}}
{{- end -}}
{{- if and (not (dig "aws" "region" "" .Values.settings)) (not .Values.env) -}}
{{- $mistakes = append $mistakes "settings.aws.region is missing: the Region of the tables and of STS" -}}
{{- end -}}
{{- range $key := list "listen" "admin_listen" "admin" "tls" "insecure_plaintext" "policies" "drain_delay_seconds" "drain_timeout_seconds" -}}
{{- if hasKey $.Values.settings $key -}}
{{- $mistakes = append $mistakes (printf "settings.%s is written by the chart: remove it and use the chart's own value" $key) -}}
{{- end -}}
{{- range $.Values.env -}}
{{- if hasPrefix (printf "DDB_PROXY_%s" (upper $key)) .name -}}
{{- $mistakes = append $mistakes (printf "env %s would override what the chart writes: remove it and use the chart's own value" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (dig "sessions" "key_file" "" .Values.settings) (or .Values.sessions.existingSecret (eq .Values.mode "sidecar")) -}}
{{- $mistakes = append $mistakes "settings.sessions.key_file is written by the chart: remove it, or sessions.existingSecret" -}}
{{- end -}}
{{- if and .Values.settings.deny_list .Values.denyList.existingConfigMap -}}
{{- $mistakes = append $mistakes "settings.deny_list is written by the chart: remove it, or denyList.existingConfigMap" -}}
{{- end -}}
{{- if and .Values.sessions.existingSecret (ne .Values.mode "gateway") -}}
{{- $mistakes = append $mistakes "sessions.existingSecret is for mode=gateway: a fleet's key never goes into task pods, a sidecar makes its own" -}}
{{- end -}}
{{- if and .Values.policies.files .Values.policies.existingConfigMap -}}
{{- $mistakes = append $mistakes "policies.files and policies.existingConfigMap are both given: keep one" -}}
{{- else if not (or .Values.policies.files .Values.policies.existingConfigMap) -}}
{{- $mistakes = append $mistakes "policies are missing: give policies.files or policies.existingConfigMap" -}}
{{- end -}}
{{- if regexMatch "PRIVATE KEY-----" (printf "%s%s" (toJson .Values.settings) (toJson .Values.policies.files)) -}}
{{- $mistakes = append $mistakes "settings or policies hold a private key: a ConfigMap is no place for it, mount a Secret with extraVolumes" -}}
{{- end -}}
{{- if hasPrefix "ddb-proxy" (include "dynamodb-proxy.fullname" .) -}}
{{- $mistakes = append $mistakes "the full name begins with ddb-proxy: Kubernetes would give pods of the namespace DDB_PROXY_* variables, which a sidecar takes for settings; set fullnameOverride" -}}
{{- end -}}
{{- if ne (empty .Values.admin.issuer) (empty .Values.admin.subjects) -}}
{{- $mistakes = append $mistakes "admin needs both issuer and subjects, or neither" -}}
{{- end -}}
{{- if and .Values.admin.issuer (ne .Values.mode "gateway") -}}
{{- $mistakes = append $mistakes "admin.issuer is for mode=gateway: a task shares its sidecar's network, so use admin.socket" -}}
{{- end -}}
{{- if eq .Values.mode "gateway" -}}
{{- if and .Values.admin.issuer (not .Values.admin.insecurePlaintext) (not .Values.tls.insecurePlaintext) -}}
{{- $mistakes = append $mistakes "admin.issuer: the admin port has no TLS; use admin.socket, or accept with admin.insecurePlaintext=true that admin tokens travel in the clear" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret .Values.tls.insecurePlaintext -}}
{{- $mistakes = append $mistakes "tls.existingSecret and tls.insecurePlaintext are both given: keep one" -}}
{{- else if not (or .Values.tls.existingSecret .Values.tls.insecurePlaintext) -}}
{{- $mistakes = append $mistakes "tls is undecided: give tls.existingSecret, or accept with tls.insecurePlaintext=true that tokens travel in the clear" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.clients) -}}
{{- $mistakes = append $mistakes "networkPolicy.clients is missing: say which pods may call the gateway (or networkPolicy.enabled=false for all)" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $mistakes = append $mistakes "serviceAccount.name is missing: with serviceAccount.create=false name an existing one" -}}
{{- end -}}
{{- if le (int .Values.terminationGracePeriodSeconds) (add .Values.drain.delaySeconds .Values.drain.timeoutSeconds | int) -}}
{{- $mistakes = append $mistakes "terminationGracePeriodSeconds must be more than drain.delaySeconds + drain.timeoutSeconds: else writes in flight are cut" -}}
{{- end -}}
{{- end -}}
{{- if $mistakes -}}
{{- fail (printf "\n  - %s" (join "\n  - " $mistakes)) -}}
{{- end -}}
{{- end -}}
