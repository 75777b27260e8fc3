package store

import (
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// ServerFiles are the files that a NATS server may ask for. Names are empty where it
// does not.
type ServerFiles struct {
	// Creds has the JWT and the seed of a user, as nsc writes them.
	Creds string
	// CA has the certificates, in PEM, of those who may vouch for the server, in place
	// of those that this machine trusts.
	CA string
	// Cert and Key are what this machine shows to the server, in PEM.
	Cert, Key string
}

// options checks that the files are there: the client would look for them only when it
// connects, and not say which.
func (f ServerFiles) options() (list []nats.Option, err error) {
	for _, file := range []struct{ what, name string }{
		{"credentials", f.Creds}, {"CA certificates", f.CA}, {"certificate", f.Cert}, {"key", f.Key},
	} {
		if file.name == "" {
			continue
		}
		if _, err := os.ReadFile(file.name); err != nil {
			return nil, fmt.Errorf("the %s for NATS: %w", file.what, err)
		}
	}
	if f.Creds != "" {
		list = append(list, nats.UserCredentials(f.Creds))
	}
	if f.CA != "" {
		list = append(list, nats.RootCAs(f.CA))
	}
	if f.Cert != "" {
		list = append(list, nats.ClientCert(f.Cert, f.Key))
	}
	return list, nil
}
