package workers_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	strict "sigs.k8s.io/yaml"

	"github.com/muster/muster/sim/command"
	"github.com/muster/muster/sim/scenario"
)

const manifests = "../../docs/kubernetes"

// documents are those of a manifest, by kind and name.
func documents(t *testing.T, file string) map[string][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(manifests, file))
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string][]byte)
	for dec := yaml.NewDecoder(bytes.NewReader(b)); ; {
		var doc struct {
			Kind     string
			Metadata struct{ Name string }
			Rest     map[string]any `yaml:",inline"`
		}
		var node yaml.Node
		if err := dec.Decode(&node); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		text, err := yaml.Marshal(&node)
		if err == nil {
			err = node.Decode(&doc)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		found[doc.Kind+"/"+doc.Metadata.Name] = text
	}
}

// read reads a document as Kubernetes does, and refuses fields that it does not know.
func read[T any](t *testing.T, docs map[string][]byte, name string) *T {
	t.Helper()
	text, ok := docs[name]
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	delete(docs, name)
	v := new(T)
	if err := strict.UnmarshalStrict(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// understood fails when "muster" does not know the arguments of a container.
func understood(t *testing.T, c *core.Container) {
	t.Helper()
	if len(c.Args) < 2 || c.Args[0] != "fleet" {
		t.Fatalf("container %s runs %v", c.Name, c.Args)
	}
	cmd, rest, err := command.Command().Find(c.Args[1:])
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err != nil || cmd.Name() != c.Args[1] {
		t.Errorf("container %s: muster %v: %v", c.Name, c.Args, err)
	}
	for _, a := range c.Args {
		if at := strings.Index(a, "$("); at >= 0 && !hasVariable(c, a[at+2:strings.IndexByte(a, ')')]) {
			t.Errorf("container %s: %s has no such variable", c.Name, a)
		}
	}
	mounts := make(map[string]bool)
	for _, m := range c.VolumeMounts {
		mounts[m.Name] = true
	}
	if len(mounts) == 0 || c.Resources.Limits.Cpu().Sign() != 0 {
		t.Errorf("container %s: mounts %v, limits %v", c.Name, mounts, c.Resources.Limits)
	}
}

func hasVariable(c *core.Container, name string) bool {
	for _, e := range c.Env {
		if e.Name == name {
			return true
		}
	}
	return false
}

// volumesThere fails when a container mounts what the pod does not have.
func volumesThere(t *testing.T, p *core.PodSpec) {
	t.Helper()
	have := make(map[string]bool)
	for _, v := range p.Volumes {
		have[v.Name] = true
	}
	for _, c := range p.Containers {
		for _, m := range c.VolumeMounts {
			if !have[m.Name] {
				t.Errorf("container %s mounts %s, which the pod does not have", c.Name, m.Name)
			}
		}
	}
}

// The manifests are what the API of Kubernetes knows, what "muster" understands, and
// fit together.
func TestKubernetesManifests(t *testing.T) {
	nats := documents(t, "nats.yaml")
	service := read[core.Service](t, nats, "Service/muster-nats")
	set := read[apps.StatefulSet](t, nats, "StatefulSet/muster-nats")
	policy := read[networking.NetworkPolicy](t, nats, "NetworkPolicy/muster-nats")
	for key, value := range service.Spec.Selector {
		if set.Spec.Template.Labels[key] != value || set.Spec.Selector.MatchLabels[key] != value || policy.Spec.PodSelector.MatchLabels[key] != value {
			t.Errorf("the label %s=%s does not find the server everywhere", key, value)
		}
	}
	if !strings.Contains(strings.Join(set.Spec.Template.Spec.Containers[0].Args, " "), "--jetstream") {
		t.Error("the NATS server has no JetStream")
	}

	docs := documents(t, "workers.yaml")
	job := read[batch.Job](t, docs, "Job/muster-workers")
	pod := &job.Spec.Template.Spec
	understood(t, &pod.Containers[0])
	volumesThere(t, pod)
	if job.Spec.CompletionMode == nil || *job.Spec.CompletionMode != batch.IndexedCompletion || *job.Spec.Completions != *job.Spec.Parallelism {
		t.Error("the workers are no Indexed Job all of whose pods run at a time")
	}
	if !hasVariable(&pod.Containers[0], "NATS_URL") {
		t.Error("workers do not know the server")
	}

	docs = documents(t, "run.yaml")
	config := read[core.ConfigMap](t, docs, "ConfigMap/muster-scenario")
	read[core.PersistentVolumeClaim](t, docs, "PersistentVolumeClaim/muster-reports")
	run := read[batch.Job](t, docs, "Job/muster-run")
	understood(t, &run.Spec.Template.Spec.Containers[0])
	volumesThere(t, &run.Spec.Template.Spec)
	sc, err := scenario.Read("scenario.yaml", []byte(config.Data["scenario.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	// Eight workers have room for the devices of the scenario.
	args := strings.Join(pod.Containers[0].Args, " ")
	if room := int(*job.Spec.Completions) * 20000; !strings.Contains(args, "--capacity=20000") || room < sc.Devices() {
		t.Errorf("there is room for %d devices of %d", room, sc.Devices())
	}
	for key, labels := range map[string]map[string]string{"workers": job.Spec.Template.Labels, "run": run.Spec.Template.Labels} {
		for label, value := range policy.Spec.Ingress[0].From[0].PodSelector.MatchLabels {
			if labels[label] != value {
				t.Errorf("the policy of the network keeps %s from the server: label %s=%s", key, label, value)
			}
		}
	}
	for _, left := range []map[string][]byte{nats, docs} {
		for name := range left {
			t.Errorf("%s is not looked at", name)
		}
	}
}
