package bench

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"sync"
	"time"

	"github.com/muster/muster/protocol/seed"
)

// The keys of all runs: they protect nothing.
var (
	cloudKey  = seed.P256(seed.Bytes(1, "bench/cloud"))
	deviceKey = seed.P256(seed.Bytes(1, "bench/device"))
)

// certificates returns a self-signed certificate of the cloud's key and of the
// device's, for peers that do not know raw keys.
var certificates = sync.OnceValues(func() (cloud, device tls.Certificate) { return certify(cloudKey), certify(deviceKey) })

func certify(key *ecdsa.PrivateKey) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "muster"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic("bench: making a certificate: " + err.Error())
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
