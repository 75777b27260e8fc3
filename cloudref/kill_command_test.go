package cloudref

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster/muster/protocol/dtls"
	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/seed"
)

// kills is for those who want to be sure: hundreds.
var kills = flag.Int("kills", 0, "how often TestKillCommand kills a cloud; 0: as often as a test should")

const (
	killCommandRounds  = 6
	killCommandDevices = 8
)

// A promise is something that the API has acknowledged, and how it is seen that it
// was kept.
type promise struct {
	what string
	kept func(k *killBench) bool
}

// A killBench is a cloud that is killed and started again on one data directory, on
// the same ports, and people who use its API.
type killBench struct {
	t        *testing.T
	dir      string
	udp      string
	http     string
	token    string
	password string
	process  *process
	number   atomic.Uint64

	mu       sync.Mutex
	promises map[string]promise // the last of each name
	hook     counter            // calls of the webhook
	answers  map[string]string  // of this judgement, by path: lists are asked for once
	kept     map[string]int     // promises, by what
}

// start starts the cloud and waits until it serves.
func (k *killBench) start() {
	k.t.Helper()
	k.process = startProcess(k.t, childArgs{Kind: "cloud", Args: []string{
		"--data", k.dir, "--udp", k.udp, "--tcp", "", "--http", k.http, "--host", "127.0.0.1", "--sign-up",
	}})
	eventually(k.t, "the cloud is up", func() bool {
		if k.process.cmd.ProcessState != nil {
			k.t.Fatal("the cloud ended by itself: ", k.process.log)
		}
		return strings.Contains(k.process.log.String(), "the cloud is up")
	})
	text := k.process.log.String()
	_, address, _ := strings.Cut(text, " udp=")
	k.udp, _, _ = strings.Cut(address, " ")
	k.http = strings.TrimPrefix(apiOf(text), "http://")
	login := readLogin(k.t, filepath.Join(k.dir, fileLogin))
	k.token, k.password = login["token"], login["password"]
}

// call sends a request and returns its answer, status 0 if there is none.
func (k *killBench) call(method, path, token, body string) (int, map[string]any) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+k.http+path, strings.NewReader(body))
	if err != nil {
		k.t.Error(err)
		return 0, nil
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	if strings.Contains(body, "grant_type=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		return 0, nil // killed in the middle: nothing was acknowledged
	}
	var o map[string]any
	if json.Unmarshal(b, &o) != nil {
		o = map[string]any{"list": string(b)}
	}
	return a.StatusCode, o
}

// upload sends a version of a product's firmware.
func (k *killBench) upload(path, version string, image []byte) bool {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("binary", "firmware.bin")
	if err == nil {
		_, err = file.Write(image)
	}
	if err = errors.Join(err, form.WriteField("version", version), form.WriteField("title", "v"+version), form.Close()); err != nil {
		k.t.Error(err)
		return false
	}
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodPost, "http://"+k.http+path, &body)
	if err != nil {
		k.t.Error(err)
		return false
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	r.Header.Set("Content-Type", form.FormDataContentType())
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_, err = io.Copy(io.Discard, a.Body)
	return errors.Join(err, a.Body.Close()) == nil && a.StatusCode == http.StatusCreated
}

// file downloads a file, "" if there is none.
func (k *killBench) file(path string) string {
	r, err := http.NewRequestWithContext(k.t.Context(), http.MethodGet, "http://"+k.http+path, nil)
	if err != nil {
		k.t.Error(err)
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return ""
	}
	b, err := io.ReadAll(a.Body)
	if err = errors.Join(err, a.Body.Close()); err != nil || a.StatusCode != http.StatusOK {
		return ""
	}
	return string(b)
}

// promised notes what was acknowledged.
func (k *killBench) promised(name, what string, kept func(k *killBench) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.promises[name] = promise{what, kept}
}

// has reports whether a GET is answered with 200 and holds text.
func (k *killBench) has(path, text string) bool {
	answer, asked := k.answers[path]
	if !asked {
		status, o := k.call(http.MethodGet, path, k.token, "")
		if status == http.StatusOK {
			b, _ := json.Marshal(o)
			list, _ := o["list"].(string)
			answer = string(b) + list
		}
		k.answers[path] = answer
	}
	return strings.Contains(answer, text)
}

// The people, each of whom does one thing after another until the cloud is gone.
// They return false when it is.
var people = map[string]func(k *killBench, n uint64) bool{
	"devices": func(k *killBench, n uint64) bool {
		id := fmt.Sprintf("e00fcafe%016x", n)
		key := seed.P256(seed.Bytes(n, "provisioned"))
		body := must(json.Marshal(map[string]string{
			"deviceID": id, "publicKey": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: dtls.SPKI(&key.PublicKey)})), "algorithm": "ecc",
		}))
		if status, _ := k.call(http.MethodPost, "/v1/provisioning/"+id, k.token, string(body)); status != http.StatusOK {
			return false
		}
		k.promised("device "+id, "a device and its key", func(k *killBench) bool { return k.has("/v1/devices/"+id, id) })
		name := fmt.Sprint("lamp", n)
		if status, _ := k.call(http.MethodPut, "/v1/devices/"+id, k.token, `{"name":"`+name+`"}`); status != http.StatusOK {
			return false
		}
		k.promised("name "+id, "a device's name", func(k *killBench) bool { return k.has("/v1/devices/"+id, `"`+name+`"`) })
		return true
	},
	"tokens": func(k *killBench, _ uint64) bool {
		status, o := k.call(http.MethodPost, "/oauth/token", "", url.Values{
			"grant_type": {"password"}, "username": {defaultOwner}, "password": {k.password}, "client_id": {"particle"}, "client_secret": {"particle"},
		}.Encode())
		token, _ := o["access_token"].(string)
		if status != http.StatusOK || token == "" {
			return false
		}
		current := func(k *killBench) int {
			status, _ := k.call(http.MethodGet, "/v1/access_tokens/current", token, "")
			return status
		}
		k.promised("token "+token, "a token", func(k *killBench) bool { return current(k) == http.StatusOK })
		if token[0] > '7' {
			return true
		}
		if status, _ := k.call(http.MethodDelete, "/v1/access_tokens/"+token, "", ""); status != http.StatusOK {
			k.mu.Lock()
			delete(k.promises, "token "+token) // who knows
			k.mu.Unlock()
			return false
		}
		k.promised("token "+token, "that a token is revoked", func(k *killBench) bool { return current(k) == http.StatusUnauthorized })
		return true
	},
	"users": func(k *killBench, n uint64) bool {
		name := fmt.Sprintf("u%d@example.org", n)
		body := `{"username":"` + name + `","password":"sesame"}`
		if status, _ := k.call(http.MethodPost, "/v1/users", "", body); status != http.StatusOK {
			return false
		}
		k.promised("user "+name, "an account", func(k *killBench) bool {
			status, _ := k.call(http.MethodPost, "/v1/users", "", body)
			return status == http.StatusBadRequest // it is taken
		})
		return true
	},
	"clients": func(k *killBench, n uint64) bool {
		name := fmt.Sprint("app", n)
		if status, _ := k.call(http.MethodPost, "/v1/clients", k.token, `{"name":"`+name+`","type":"installed"}`); status != http.StatusOK {
			return false
		}
		k.promised("client "+name, "an OAuth client", func(k *killBench) bool { return k.has("/v1/clients", `"`+name+`"`) })
		return true
	},
	"products": func(k *killBench, n uint64) bool {
		name := fmt.Sprint("product", n)
		status, o := k.call(http.MethodPost, "/v1/products", k.token, `{"product":{"name":"`+name+`","platform_id":13}}`)
		made, _ := o["product"].(map[string]any)
		if status != http.StatusOK && status != http.StatusCreated || made == nil {
			return false
		}
		path := fmt.Sprintf("/v1/products/%v", made["id"])
		k.promised("product "+name, "a product", func(k *killBench) bool { return k.has(path, name) })
		if status, _ := k.call(http.MethodPost, path+"/groups", k.token, `{"name":"g"}`); status/100 != 2 {
			return false
		}
		k.promised("group of "+name, "a group", func(k *killBench) bool { return k.has(path+"/groups", `"g"`) })
		id := newPuppet(1, nil).id.String()
		if status, _ := k.call(http.MethodPost, path+"/devices", k.token, `{"id":"`+id+`"}`); status/100 != 2 {
			k.mu.Lock()
			delete(k.promises, "member") // in this product, or in the one before
			k.mu.Unlock()
			return false
		}
		k.promised("member", "a product's device", func(k *killBench) bool { return k.has(path+"/devices", id) })
		return true
	},
	"hooks": func(k *killBench, n uint64) bool {
		name := fmt.Sprint("never/", n)
		status, _ := k.call(http.MethodPost, "/v1/integrations", k.token, `{"integration_type":"Webhook","event":"`+name+`","url":"http://example.org/"}`)
		if status != http.StatusCreated {
			return false
		}
		k.promised("hook "+name, "a webhook", func(k *killBench) bool { return k.has("/v1/integrations", `"`+name+`"`) })
		return true
	},
	"firmware": func(k *killBench, n uint64) bool {
		status, o := k.call(http.MethodPost, "/v1/products", k.token, fmt.Sprintf(`{"product":{"name":"made %d","platform_id":13}}`, n))
		made, _ := o["product"].(map[string]any)
		id, _ := made["id"].(float64)
		if status/100 != 2 || id == 0 {
			return false
		}
		path := fmt.Sprintf("/v1/products/%d/firmware", int(id))
		for version := uint16(1); version <= 3; version++ {
			image := module.Module{Prefix: module.Prefix{Start: 0xd4000, Version: 7, Platform: pdc.Boron, Function: pdc.ModuleUserPart, Index: 1}}
			image.Product = &module.Product{ID: uint32(id), Version: version}
			image.Fill(20000, rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(version)}))
			wire := image.Append(nil)
			if !k.upload(path, fmt.Sprint(version), wire) {
				return false
			}
			binary := fmt.Sprintf("%s/%d/binary", path, version)
			k.promised(binary, "a version of firmware", func(k *killBench) bool { return k.file(binary) == string(wire) })
		}
		return true
	},
	"ledgers": func(k *killBench, n uint64) bool {
		name := fmt.Sprint("ledger-", n)
		if status, _ := k.call(http.MethodPost, "/v1/ledgers", k.token, `{"ledger":{"name":"`+name+`","scope":"Device","direction":"Downstream"}}`); status != http.StatusCreated {
			return false
		}
		path := "/v1/ledgers/" + name + "/instances/" + newPuppet(1, nil).id.String()
		for value := range 5 {
			data := fmt.Sprintf(`{"value":%d}`, value)
			if status, _ := k.call(http.MethodPut, path, k.token, `{"instance":{"data":`+data+`}}`); status != http.StatusOK {
				k.mu.Lock()
				delete(k.promises, path) // the old one or the new one
				k.mu.Unlock()
				return false
			}
			k.promised(path, "what a ledger holds", func(k *killBench) bool { return k.has(path, data) })
		}
		return true
	},
	"events": func(k *killBench, n uint64) bool {
		name := fmt.Sprint("hooked/api/", n)
		if status, _ := k.call(http.MethodPost, "/v1/devices/events", k.token, `{"name":"`+name+`","data":"x","private":true}`); status != http.StatusOK {
			return false
		}
		k.promised("event "+name, "a webhook call for an event of the API", func(k *killBench) bool { return k.hook.get(name) > 0 })
		return true
	},
}

// TestKillCommand kills "muster cloud" at random points while devices publish and
// people use the API, and counts what it had promised.
func TestKillCommand(t *testing.T) {
	rounds := killCommandRounds
	switch {
	case *kills > 0:
		rounds = *kills
	case testing.Short():
		rounds = 2
	}
	k := &killBench{t: t, dir: t.TempDir(), udp: freeAddress(t), http: freeAddress(t), promises: map[string]promise{}, kept: map[string]int{}}
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		if err == nil {
			k.hook.add(string(b))
		}
	}))
	defer hook.Close()
	k.start()
	if status, o := k.call(http.MethodPost, "/v1/webhooks", k.token,
		`{"event":"hooked/","url":"`+hook.URL+`","requestType":"POST","body":"{{{PARTICLE_EVENT_NAME}}}","noDefaults":true}`); status != http.StatusCreated {
		t.Fatal(status, o)
	}
	key, err := loadKey(k.dir, fileECKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []*killPuppet
	for n := range killCommandDevices {
		p := &killPuppet{puppet: newPuppet(n+1, &key.(*ecdsa.PrivateKey).PublicKey), confirmed: map[string]bool{}, prefix: "hooked/"}
		p.tape = new(tape)
		file := writePEM(t, "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(&p.key.PublicKey)))
		if _, _, err := execute(t.Context(), "device", "add", p.id.String(), "--key", file, "--data", k.dir); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	rng := rand.New(rand.NewPCG(1, 0))
	// A slow machine gets more rounds, and longer ones, until enough was promised.
	last := false
	for round := 0; !last; round++ {
		if round > 0 {
			k.start()
			replay(t, must(netip.ParseAddrPort(k.udp)), all)
		}
		k.round(all, round, time.Duration(50+rng.IntN(500)+100*max(0, round-rounds+1))*time.Millisecond)
		last = round >= rounds-1 && (k.enough(all) || round >= rounds+20)
		if round%10 == 9 || last {
			k.start()
			k.judge(round)
			k.process.kill()
		}
		for _, p := range all {
			hearOut(t, k.udp, p.puppet)
		}
	}
	k.judgeDevices(all)
}

// killEvents and killPromises are how many events of devices and promises to people
// there have to be at least.
const killEvents, killPromises = 50, 50

// enough reports whether the test has seen enough to say something.
func (k *killBench) enough(all []*killPuppet) bool {
	confirmed, promises := 0, len(k.promises)
	for _, p := range all {
		confirmed += len(p.confirmed)
	}
	for _, n := range k.kept {
		promises += n
	}
	return confirmed >= killEvents && promises >= killPromises
}

// round is one life of the cloud.
func (k *killBench) round(all []*killPuppet, round int, life time.Duration) {
	k.t.Helper()
	var stop atomic.Bool
	var wg sync.WaitGroup
	up := must(netip.ParseAddrPort(k.udp))
	for _, p := range all {
		wg.Go(func() { p.live(k.t, up, round, &stop) })
	}
	for _, do := range people {
		wg.Go(func() {
			for !stop.Load() && do(k, k.number.Add(1)) {
			}
		})
	}
	time.Sleep(life)
	k.process.kill()
	stop.Store(true)
	wg.Wait()
}

// judge asks for everything that was promised since the last time.
func (k *killBench) judge(round int) {
	k.t.Helper()
	broken := map[string]int{}
	k.answers = map[string]string{}
	for name, p := range k.promises {
		is := p.kept(k)
		for try := 0; !is && strings.HasPrefix(name, "event ") && try < 2400; try++ { // what waits in the queue
			time.Sleep(50 * time.Millisecond)
			is = p.kept(k)
		}
		if !is {
			broken[p.what]++
			continue
		}
		k.kept[p.what]++
	}
	for what, n := range broken {
		k.t.Errorf("round %d: %s was acknowledged and is missing, %d times", round, what, n)
	}
	k.promises = map[string]promise{}
}

func (k *killBench) judgeDevices(all []*killPuppet) {
	k.t.Helper()
	c, err := Start(k.t.Context(), Options{Dir: k.dir, UDP: anyPort})
	if err != nil {
		k.t.Fatal(err)
	}
	defer c.Stop()
	stored := storedEvents(k.t, c)
	confirmed, missing, twice, again, back, uncalled := 0, 0, 0, 0, 0, 0
	for _, p := range all {
		for name := range p.confirmed {
			confirmed++
			switch stored[p.id.String()+" "+name] {
			case 0:
				missing++
			case 1:
			default:
				twice++
			}
			for try := 0; k.hook.get(name) == 0 && try < 2400; try++ {
				time.Sleep(50 * time.Millisecond)
			}
			if k.hook.get(name) == 0 {
				uncalled++
			}
		}
		again += p.shakes - 1
		back += p.back
	}
	kept := 0
	for what, n := range k.kept {
		k.t.Logf("%d times %s", n, what)
		kept += n
	}
	k.t.Logf("%d things that people made and %d events of devices acknowledged; %d events missing, %d stored twice, %d webhook calls missing; %d sessions made anew; %d sequences that went back",
		kept, confirmed, missing, twice, uncalled, again, back)
	if missing+twice+again+back+uncalled > 0 {
		k.t.Error("the cloud broke a promise")
	}
	const whats = 13 // kinds of promises
	if confirmed < killEvents || kept < killPromises || len(k.kept) != whats && *kills > 0 {
		k.t.Error("too little happened: the test tests nothing")
	}
}
