package store

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/muster/muster/fixtures/natstest"
)

// certify makes a certificate for loopback by itself, with its key, in PEM files.
func certify(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A NATS server with TLS that wants to know who comes.
func TestServerFiles(t *testing.T) {
	ca, caKey := certify(t, "server")
	own, ownKey := certify(t, "node")
	pair, err := tls.LoadX509KeyPair(ca, caKey)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	b, err := os.ReadFile(own)
	if err != nil || !known.AppendCertsFromPEM(b) {
		t.Fatal(err)
	}
	nats := natstest.StartWith(t, server.Options{JetStream: true, TLS: true, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: known, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}, TLSTimeout: 60})
	c := Config{URL: nats.ClientURL(), KeyFile: keyFileTest(t)}
	for want, files := range map[string]ServerFiles{
		"who vouches for the server":             {},
		"wants a certificate that it knows":      {CA: ca},
		"the CA certificates for NATS: open":     {CA: ca + "x"},
		"the credentials for NATS: open":         {Creds: filepath.Join(t.TempDir(), "creds")},
		"the server wants a certificate that it": {CA: ca, Cert: ca, Key: caKey},
	} {
		c.Files = files
		s, err := Open(t.Context(), c)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	c.Files = ServerFiles{CA: ca, Cert: own, Key: ownKey}
	x := openTest(t, c)
	x.want(nil, x.Do(x.ctx, PutDevice(device(1))))

	// One without TLS is told apart.
	plain := natstest.StartWith(t, server.Options{JetStream: true})
	c.URL = strings.Replace(plain.ClientURL(), "nats:", "tls:", 1)
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the server has no TLS") {
		t.Error(err)
	}
}
