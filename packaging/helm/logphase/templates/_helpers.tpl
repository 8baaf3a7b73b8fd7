{{- define "logphase.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The name of the objects: that of the release, with that of the chart unless the release has it. Short enough for the names of pods. */}}
{{- define "logphase.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "logphase.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "logphase.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "logphase.selector" -}}
app.kubernetes.io/name: {{ include "logphase.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "logphase.labels" -}}
{{ include "logphase.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* The settings, with the addresses that the ports of the chart mean. */}}
{{- define "logphase.settings" -}}
{{- $http := dict "listen" (list (printf "0.0.0.0:%v" .Values.ports.http)) -}}
{{- $status := dict "listen" (list (printf "0.0.0.0:%v" .Values.statusPort)) -}}
{{- $chart := dict "inputs" (dict "http" $http) "status" $status -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.settings) $chart) -}}
{{- end -}}
