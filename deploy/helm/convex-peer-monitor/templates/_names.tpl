{{/* The name of everything: the release's, with the chart's in it. */}}
{{- define "name" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{/* What services and policies select by. */}}
{{- define "selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* A file with links that lead where the values say. */}}
{{- define "linked" -}}
{{- $links := .root.Values -}}
{{- .root.Files.Get .file | replace "https://runbooks.example/" $links.runbookUrl | replace "https://grafana.example/" $links.grafanaUrl -}}
{{- end }}
