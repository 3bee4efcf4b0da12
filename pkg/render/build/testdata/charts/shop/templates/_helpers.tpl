{{/* The name. */}}
{{- define "shop.name" -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 20 | trimSuffix "-" }}
{{- end }}

{{- define "shop.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "shop.countdown" -}}
{{- if gt (int .) 0 }}{{ . }} {{ include "shop.countdown" (sub . 1) }}{{ else }}done{{ end -}}
{{- end }}
