{{- define "wxproxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "wxproxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "wxproxy.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "wxproxy.injector" -}}{{ include "wxproxy.fullname" . }}-injector{{- end -}}
{{- define "wxproxy.gateway" -}}{{ include "wxproxy.fullname" . }}-gateway{{- end -}}

{{- define "wxproxy.selector" -}}
app.kubernetes.io/name: {{ include "wxproxy.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "wxproxy.labels" -}}
{{ include "wxproxy.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "wxproxy.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* What the PodSecurity standard restricted asks for, and more. */ -}}
{{- define "wxproxy.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "wxproxy.containerSecurity" -}}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "wxproxy.certSecret" -}}
{{- if eq .Values.injector.certificate.mode "secret" -}}
{{ required "injector.certificate.secretName is needed in mode secret" .Values.injector.certificate.secretName }}
{{- else -}}
{{ include "wxproxy.injector" . }}-tls
{{- end -}}
{{- end -}}

{{- define "wxproxy.dnsNames" -}}
{{ include "wxproxy.injector" . }}.{{ .Release.Namespace }}.svc,{{ include "wxproxy.injector" . }}.{{ .Release.Namespace }}.svc.cluster.local
{{- end -}}

{{- /* Nine tenths of a memory limit for Go's heap, so that it collects garbage before the kernel kills. */ -}}
{{- define "wxproxy.goMemory" -}}
{{- $limit := dig "limits" "memory" "" . | toString -}}
{{- if regexMatch "^[0-9]+[MG]i$" $limit -}}
{{- $number := trimSuffix "i" $limit | trimSuffix "M" | trimSuffix "G" | int64 -}}
{name: GOMEMLIMIT, value: {{ div (mul $number 1024 9 (ternary 1024 1 (hasSuffix "Gi" $limit))) 10 }}KiB}
{{- else -}}
{name: GOMEMLIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
{{- end -}}
{{- end -}}

{{- /* Peers that may reach an admin port: those of the list, and helm test. */ -}}
{{- define "wxproxy.adminPeers" -}}
{{- $test := dict "podSelector" (dict "matchLabels" (include "wxproxy.selector" (dict "root" .root "component" "test") | fromYaml)) -}}
{{- append .from $test | toJson -}}
{{- end -}}

{{- /* Namespaces whose pods are never looked at, in JSON. */ -}}
{{- define "wxproxy.excluded" -}}
{{- concat (list .Release.Namespace "kube-system") .Values.injector.excludedNamespaces | uniq | toJson -}}
{{- end -}}

{{- /* Not empty where the API server judges policies: from 1.30 on. */ -}}
{{- define "wxproxy.policies" -}}
{{- if and .Values.injector.enabled .Values.injector.policies.enabled (semverCompare ">=1.30-0" .Capabilities.KubeVersion.Version) -}}true{{- end -}}
{{- end -}}
