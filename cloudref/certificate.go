package cloudref

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of the certificate that the cloud makes for its REST API, PEM.
const (
	fileCertificate    = "api-cert.pem"
	fileCertificateKey = "api-key.pem"
)

// certificateLife is how long a certificate of our own is good: the longest that
// Apple's systems take.
const certificateLife = 825 * 24 * time.Hour

// readCertificate reads a certificate and its key.
func readCertificate(certificate, key string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w: want PEM files that belong together", certificate, key, err)
	}
	return tlsConfig(pair), nil
}

func tlsConfig(pair tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
}

// OwnTLS returns how the API is served with the certificate that the cloud makes for
// itself, which is for host and for this machine.
func (c *Cloud) OwnTLS(host string) (*tls.Config, error) {
	config, err := ownCertificate(c.o.Dir, host)
	if err == nil && c.faults.API.OldTLS {
		config.MinVersion = tls.VersionTLS10
	}
	return config, err
}

// ownCertificate returns the certificate in the data directory, made anew if there
// is none, if it is past its time, or if it is not for host.
func ownCertificate(dir, host string) (*tls.Config, error) {
	certificate, key := filepath.Join(dir, fileCertificate), filepath.Join(dir, fileCertificateKey)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	switch {
	case err == nil && pair.Leaf.VerifyHostname(host) == nil && time.Until(pair.Leaf.NotAfter) > 24*time.Hour:
		return tlsConfig(pair), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("cloud: reading the certificate of the API: %w: remove %s and %s to have new ones made", err, certificate, key)
	}
	if err := makeCertificate(certificate, key, host); err != nil {
		return nil, fmt.Errorf("cloud: making a certificate for the API: %w", err)
	}
	pair, err = tls.LoadX509KeyPair(certificate, key)
	return tlsConfig(pair), err
}

// makeCertificate makes a certificate for host and for this machine.
func makeCertificate(certificate, keyFile, host string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: host, Organization: []string{"muster cloud"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = append(template.IPAddresses, ip)
	} else if !slices.Contains(template.DNSNames, host) {
		template.DNSNames = append(template.DNSNames, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writeSecret(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})); err != nil {
		return err
	}
	return os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
