// Reads files for deployments as the programs do that they are for, for the tests:
//
//	deploy chart DIRECTORY [VALUES]  renders a chart with Helm's engine, and decodes each object strictly into its Kubernetes type
//	deploy compose FILE              loads a file of Docker Compose
//
// Prints what was read as JSON. What is wrong is exit code 1.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"k8s.io/apimachinery/pkg/runtime"
	k8sjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	read := map[string]func([]string) (any, error){"chart": chart, "compose": compose}[os.Args[1]]
	value, err := read(os.Args[2:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(value)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The line that separates documents of YAML.
var separator = regexp.MustCompile(`(?m)^---\s*$`)

func chart(arguments []string) (any, error) {
	loaded, err := loader.Load(arguments[0])
	if err != nil {
		return nil, err
	}
	given := chartutil.Values{}
	if len(arguments) > 1 {
		if given, err = chartutil.ReadValuesFile(arguments[1]); err != nil {
			return nil, err
		}
	}
	release := chartutil.ReleaseOptions{Name: "test", Namespace: "logging", IsInstall: true}
	// Checks the values by values.schema.json.
	values, err := chartutil.ToRenderValues(loaded, given, release, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	rendered, err := engine.Engine{Strict: true}.Render(loaded, values)
	if err != nil {
		return nil, err
	}
	if err := monitoringv1.AddToScheme(scheme.Scheme); err != nil {
		return nil, err
	}
	options := k8sjson.SerializerOptions{Yaml: true, Strict: true}
	serializer := k8sjson.NewSerializerWithOptions(k8sjson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, options)
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	sort.Strings(names)
	objects := []runtime.Object{}
	for _, name := range names {
		if filepath.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range separator.Split(rendered[name], -1) {
			if len(bytes.TrimSpace([]byte(document))) == 0 {
				continue
			}
			object, _, err := serializer.Decode([]byte(document), nil, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", name, err, document)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

func compose(arguments []string) (any, error) {
	options, err := cli.NewProjectOptions(arguments[:1])
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}
