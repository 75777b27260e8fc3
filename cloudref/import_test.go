package cloudref

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/lightssl"
	"github.com/muster/muster/protocol/seed"
)

// importKey is the public key of device n, in base64.
func importKey(n int) string {
	key := seed.P256(seed.Bytes(1, fmt.Sprintf("import/%d", n)))
	return base64.StdEncoding.EncodeToString(dtls.SPKI(&key.PublicKey))
}

func importID(n int) string { return fmt.Sprintf("e00fce68a1b2c3d4%08x", n) }

func writeText(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file of many is imported in every form, with the cloud stopped, and again
// without harm; what is wrong is told by line, and the rest gets in.
func TestImport(t *testing.T) {
	data := t.TempDir()
	run := func(want string, args ...string) (stderr string) {
		t.Helper()
		out, said, err := execute(t.Context(), append([]string{"device", "import", "--data", data}, args...)...)
		if !strings.Contains(out, want) {
			t.Fatalf("import %v: %v\n%s%s\nwant %q", args, err, out, said, want)
		}
		return said
	}
	var lines strings.Builder
	const many = 2500 // more than two requests
	for n := range many {
		fmt.Fprintf(&lines, "{\"id\":%q,\"key\":%q}\n", importID(n), importKey(n))
	}
	jsonl := writeText(t, "a.jsonl", lines.String())
	run("2500 devices registered, 0 already known", jsonl)
	run("0 devices registered, 2500 already known", jsonl)

	table := "\ufeffID,Name,Key,Owner\n" +
		importID(1) + ",lamp," + importKey(1) + ",\n" + // gets a name
		importID(3000) + ",," + importKey(3000) + ",bob\n"
	run("1 devices registered, 0 already known, 1 changed", writeText(t, "a.csv", table))

	folder := t.TempDir()
	rsa := lightssl.GenerateDeviceKey(seed.Bytes(1, "import/rsa"))
	block := &pem.Block{Type: "PUBLIC KEY", Bytes: lightssl.AppendDeviceSPKI(nil, &rsa.PublicKey)}
	if err := os.WriteFile(filepath.Join(folder, importID(4000)+".pub.pem"), pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	run("1 devices registered", folder)

	bad := strings.Join([]string{
		`{"id":"` + importID(5000) + `","key":"` + importKey(5000) + `"}`,
		``,
		`{"id":"short","key":"` + importKey(5001) + `"}`,
		`{"id":"` + importID(5002) + `","key":"AAAA"}`,
		`{"id":"` + importID(1) + `","key":"` + importKey(5003) + `"}`,
		`{"id":"` + importID(5004) + `","key":"` + importKey(0) + `"}`,
		`{"id":`,
		`{"id":"` + importID(5005) + `","key":"` + importKey(5005) + `","name":"` + strings.Repeat("x", importItemMax) + `"}`,
	}, "\n")
	said := run("1 devices registered, 0 already known, 6 failed", writeText(t, "bad.jsonl", bad))
	for _, want := range []string{
		"line 3: device \"short\"", "line 4: device " + importID(5002) + ": not a device key",
		"line 5: device " + importID(1) + " has another key", "line 6: device " + importID(5004) + ": store: the key",
		"line 7: want {", "line 8: ",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}

	out, _, err := execute(t.Context(), "device", "list", "--data", data)
	if err != nil || strings.Count(out, "\n") != 1+many+3 || !strings.Contains(out, "lamp") || !strings.Contains(out, "bob") {
		t.Errorf("%v: %d lines", err, strings.Count(out, "\n"))
	}
	for text, want := range map[string]string{"": "empty", "x,y\n1,2\n": "neither", "id,name\n": `no column "key"`} {
		_, _, err := execute(t.Context(), "device", "import", "--data", data, writeText(t, "wrong", text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A running cloud takes them too.
func TestImportIntoRunningCloud(t *testing.T) {
	c := must(Start(t.Context(), Options{Dir: t.TempDir(), UDP: anyPort}))
	t.Cleanup(func() { _ = c.Stop() })
	closeDesk := must(c.openDesk())
	t.Cleanup(func() { _ = closeDesk() })
	file := writeText(t, "a.csv", "id,key\n"+importID(1)+","+importKey(1)+"\n")
	out, said, err := execute(context.Background(), "device", "import", "--data", c.o.Dir, file)
	if err != nil || !strings.Contains(out, "1 devices registered") || c.Store().Registered() != 1 {
		t.Error(err, out, said)
	}
}
