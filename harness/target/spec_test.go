package target

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func specOf(t *testing.T, text string) (*Spec, string, error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "target.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := LoadSpec(file)
	return s, dir, err
}

func TestTargetFile(t *testing.T) {
	s, dir, err := specOf(t, `
name: lab
cloud:
  udp: cloud.example.org
  tcp: cloud.example.org:15683
  keys: [server-udp.der, /keys/server-tcp.der]
  devices: fleet
  api: {url: "https://api.example.org", token: {file: token}}
capabilities: {ota: false}
`)
	if err != nil {
		t.Fatal(err)
	}
	c := s.Cloud
	if s.Title() != "lab" || s.Judged() != CloudRole || c.TCP != "cloud.example.org:15683" || c.API.URL != "https://api.example.org" {
		t.Errorf("%+v %+v", s, c)
	}
	want := []string{filepath.Join(dir, "server-udp.der"), "/keys/server-tcp.der"}
	if !slices.Equal(c.Keys, want) || c.Devices != filepath.Join(dir, "fleet") || c.API.Token.File != filepath.Join(dir, "token") {
		t.Errorf("paths: %v %s %s", c.Keys, c.Devices, c.API.Token.File)
	}
	if has, said := s.Capabilities[Updates]; has || !said {
		t.Errorf("%v", s.Capabilities)
	}
	s, dir, err = specOf(t, `
device:
  profile: gcc-udp@6.2.0
  process: {command: ./vdev, dir: work, pipe: true, devices: [{id: e00fce68a1b2c3d4e5f60718, key: key.der}, {}]}
`)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Device.Process
	if s.Judged() != DeviceRole || !s.boards() || len(p.Devices) != 2 || p.Devices[0].Key != filepath.Join(dir, "key.der") || !p.Pipe {
		t.Errorf("%+v", p)
	}
}

// TestProgramBesideTheFile names a program relative to the file, in a folder with a
// blank in its name.
func TestProgramBesideTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my devices")
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"bin/vdev": "#!/bin/sh\n", "t.yaml": "device: {process: {command: ./bin/vdev -v 70}}", "u.yaml": "device: {process: {command: vdev ./x}}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"t.yaml": "'" + filepath.Join(dir, "bin/vdev") + "' -v 70", "u.yaml": "vdev ./x"} {
		s, err := LoadSpec(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Device.Process.Command; got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestWrongTargetFiles(t *testing.T) {
	for text, says := range map[string]string{
		"":                      "empty",
		"cloud: [":              "line 1",
		"name: nothing":         "missing property 'cloud'",
		"cloud: {udp: a}":       "line 1: cloud: missing properties 'keys', 'devices'",
		"device: {jugglers: 3}": "jugglers",
		"device: {rig: boron-1, cut-at: [chunk:17, half]}":                          "device.cut-at.1",
		"device: {}\ncapabilities:\n  juggling: true":                               "line 3",
		"device: {}\ncloud: {udp: a, keys: [k], devices: d}":                        "oneOf",
		"device: {rig: a, process: {command: b}}":                                   "exclude one another",
		"device: {profile: toaster@1.0.0}":                                          "toaster",
		"device: {process: {command: a, devices: [{id: 123}]}}":                     "device.process.devices.0.id",
		"cloud: {udp: a, keys: [k], devices: d, api: {url: u, token: t}}":           "token",
		"cloud: {udp: a, keys: [k], devices: d, api: {url: 'http://u', token: {}}}": "minProperties",
	} {
		if _, _, err := specOf(t, text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", text, err, says)
		}
	}
}

// TestSchemaKnowsTheCapabilities holds the schema to the code.
func TestSchemaKnowsTheCapabilities(t *testing.T) {
	var schema struct {
		Properties struct {
			Capabilities struct {
				Properties map[Capability]any `json:"properties"`
			} `json:"capabilities"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(Schema, &schema); err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(schema.Properties.Capabilities.Properties))
	if !slices.Equal(got, Capabilities()) {
		t.Errorf("the schema knows %v, the code %v", got, Capabilities())
	}
}

func TestParseDevice(t *testing.T) {
	for text, want := range map[string]string{
		"sim": "simulated devices", "sim:boron@6.2.0": "a simulated boron@6.2.0",
		"process:./vdev -v": "the program ./vdev -v", "rig:bench-1": "the board on rig bench-1",
	} {
		if d, err := ParseDevice(text); err != nil || d.String() != want {
			t.Errorf("%s: %v, %v; want %s", text, d, err, want)
		}
	}
	for _, text := range []string{"", "process", "process:", "rig:", "toaster:x"} {
		if _, err := ParseDevice(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestParseDeviceOS(t *testing.T) {
	for text, want := range map[string]string{
		">= 2.0, < 4": "2.3.1 3.1.0", "0.5.3 || 6.x": "0.5.3 6.2.0", "~3.1": "3.1.0", "< 1.5": "0.5.3 1.4.4",
	} {
		fits, err := ParseDeviceOS(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range []string{"0.5.3", "1.4.4", "2.3.1", "3.1.0", "6.2.0"} {
			if fits(v) {
				got = append(got, v)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", text, got, want)
		}
	}
}
