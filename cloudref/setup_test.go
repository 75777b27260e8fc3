package cloudref

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// cloudOf returns the address over UDP and the key of a cloud that runs on dir.
func cloudOf(t *testing.T, dir, log string) (netip.AddrPort, *ecdsa.PublicKey) {
	t.Helper()
	_, address, _ := strings.Cut(log, "udp=")
	address, _, _ = strings.Cut(address, " ")
	key := must(parseKey("", must(os.ReadFile(filepath.Join(dir, fileECKey))))).(*ecdsa.PrivateKey)
	return must(netip.ParseAddrPort(address)), &key.PublicKey
}

// Trust on first use: with the flag, and with the command, and not without.
func TestTrustNew(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--trust-new-for", "5m")
	addr, key := cloudOf(t, dir, out.String())
	p := newPuppet(1, key)
	if err := p.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	wait(t, out, "registered on first use")
	stop()

	out, stop = startCommand(t, dir)
	addr, _ = cloudOf(t, dir, out.String())
	q := newPuppet(2, key)
	if err := q.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := q.handshake(); err == nil {
		t.Error("a stranger got in without --trust-new-for")
	}
	if said, _, err := execute(t.Context(), "device", "trust", "1m", "--data", dir); err != nil || !strings.Contains(said, "next 1m0s") {
		t.Errorf("said %q, %v", said, err)
	}
	if err := q.connect(); err != nil {
		t.Error(err)
	}
	if said, _, err := execute(t.Context(), "device", "trust", "0", "--data", dir); err != nil || !strings.Contains(said, "only registered") {
		t.Errorf("said %q, %v", said, err)
	}
	// Another key under the name of the second.
	thief := newPuppet(3, key)
	thief.id = q.id
	if err := thief.dial(addr); err != nil {
		t.Fatal(err)
	}
	if err := thief.connect(); err == nil {
		t.Error("a stranger took another's name")
	}
	stop()
	if _, _, err := execute(t.Context(), "device", "trust", "1m", "--data", dir); err == nil || !strings.Contains(err.Error(), "no cloud runs") {
		t.Errorf("got %v", err)
	}
}

// A device that is registered with a key, or denied, is not taken over.
func TestAdopt(t *testing.T) {
	c := startCloud(t, Options{})
	owner := must(c.Account(t.Context(), "alice"))
	if err := c.TrustNew(owner, 25*time.Hour); err == nil {
		t.Error("the door may be open for 25 hours")
	}
	if err := c.TrustNew(owner, time.Minute); err != nil {
		t.Fatal(err)
	}
	p := newPuppet(1, &c.o.ECKey.PublicKey)
	register(t, c, owner, p)
	denied := &store.Device{ID: store.DeviceID{7}, Flags: store.Denied}
	if err := c.store.Do(t.Context(), store.PutDevice(denied)); err != nil {
		t.Fatal(err)
	}
	adopt := func(id store.DeviceID, spki []byte) error {
		done := make(chan error, 1)
		c.adopt(id, spki, true, func(err error) { done <- err })
		return <-done
	}
	other := newPuppet(2, nil).spki()
	if err := adopt(p.id, other); err == nil || !strings.Contains(err.Error(), "rekey") {
		t.Errorf("got %v", err)
	}
	if err := adopt(denied.ID, other); err == nil {
		t.Error("a device that is denied was registered")
	}
	if err := adopt(store.DeviceID{8}, p.spki()); err == nil {
		t.Error("one key for two devices")
	}
	if err := adopt(store.DeviceID{8}, other); err != nil {
		t.Error(err)
	}
}

// The API over HTTPS, with a certificate of its own that lasts.
func TestOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--tls-self")
	certificate := filepath.Join(dir, fileCertificate)
	if !strings.Contains(out.String(), "NODE_EXTRA_CA_CERTS="+certificate) || !strings.Contains(out.String(), "https://127.0.0.1:") {
		t.Errorf("the first start does not say how to trust the API: %s", out)
	}
	if info := must(os.Stat(filepath.Join(dir, fileCertificateKey))); info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v", info.Mode())
	}
	pem := must(os.ReadFile(certificate))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	token := readLogin(t, filepath.Join(dir, fileLogin))["token"]
	get := func(url string) int {
		t.Helper()
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/devices", http.NoBody))
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	secure := strings.Replace(apiOf(out.String()), "http:", "https:", 1)
	if status := get(secure); status != http.StatusOK {
		t.Errorf("over HTTPS: %d", status)
	}
	client.CloseIdleConnections()
	stop()
	_, stop = startCommand(t, dir, "--tls-self")
	if string(must(os.ReadFile(certificate))) != string(pem) {
		t.Error("the second start made another certificate")
	}
	stop()
	// With the pair as files of somebody, and with a pair that does not fit.
	_, stop = startCommand(t, dir, "--tls-cert", certificate, "--tls-key", filepath.Join(dir, fileCertificateKey))
	stop()
	_, _, err := execute(t.Context(), "--data", dir, "--udp", "127.0.0.1:0", "--tcp", "", "--http", "127.0.0.1:0",
		"--tls-cert", certificate, "--tls-key", filepath.Join(dir, fileECKey))
	if err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("got %v", err)
	}
	// For another host there is another one.
	if _, err := ownCertificate(dir, "cloud.example.org"); err != nil {
		t.Fatal(err)
	}
	if string(must(os.ReadFile(certificate))) == string(pem) {
		t.Error("the certificate does not name the host")
	}
}

// Nobody makes an account who was not asked to, and those that the operator makes
// can log in.
func TestSignUp(t *testing.T) {
	dir := t.TempDir()
	signUp := func(api string) int {
		t.Helper()
		answer, err := http.PostForm(api+"/v1/users", url.Values{"username": {"mallory@example.org"}, "password": {"sesame"}})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	out, stop := startCommand(t, dir)
	if status := signUp(apiOf(out.String())); status != http.StatusForbidden {
		t.Errorf("a stranger signs up: %d", status)
	}
	password, _, err := execute(t.Context(), "user", "add", "alice@example.org", "--data", dir)
	if err != nil || len(strings.TrimSpace(password)) < 20 {
		t.Fatalf("printed %d bytes, %v", len(password), err)
	}
	login := func(api, password string) int {
		t.Helper()
		answer, err := http.PostForm(api+"/oauth/token", url.Values{
			"grant_type": {"password"}, "username": {"alice@example.org"}, "password": {password},
			"client_id": {"particle"}, "client_secret": {"particle"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		_, err = io.Copy(io.Discard, answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode
	}
	if status := login(apiOf(out.String()), strings.TrimSpace(password)); status != http.StatusOK {
		t.Errorf("alice does not get in: %d", status)
	}
	stop()
	cmd := Command()
	cmd.SetArgs([]string{"user", "add", "alice@example.org", "--password-stdin", "--data", dir})
	cmd.SetIn(strings.NewReader("another one\n"))
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	if list, _, err := execute(t.Context(), "user", "list", "--data", dir); err != nil || !strings.Contains(list, "alice@example.org") {
		t.Errorf("listed %q, %v", list, err)
	}
	out, stop = startCommand(t, dir, "--sign-up")
	defer stop()
	if status := signUp(apiOf(out.String())); status != http.StatusOK {
		t.Errorf("nobody can sign up: %d", status)
	}
	if status := login(apiOf(out.String()), "another one"); status != http.StatusOK {
		t.Errorf("alice does not get in with the new password: %d", status)
	}
	if status := login(apiOf(out.String()), strings.TrimSpace(password)); status == http.StatusOK {
		t.Error("alice gets in with the old password")
	}
}

// The token is shown where the operator asks for it, once.
func TestShowToken(t *testing.T) {
	dir := t.TempDir()
	out, stop := startCommand(t, dir, "--show-token")
	stop()
	token := readLogin(t, filepath.Join(dir, fileLogin))["token"]
	if !strings.Contains(out.String(), "particle login --token "+token) {
		t.Error("the token is not shown")
	}
	out, stop = startCommand(t, dir, "--show-token")
	stop()
	if strings.Contains(out.String(), token) {
		t.Error("the token is shown again")
	}
}
