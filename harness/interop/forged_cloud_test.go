package interop

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"github.com/muster/muster/fixtures/gen"
	"github.com/muster/muster/protocol/dtls"
)

func TestForgedCloud(t *testing.T) {
	for name, c := range map[string]struct {
		forge func(*gen.Cloud)
		want  dtls.AlertDescription // 0: established
	}{
		"right":      {func(*gen.Cloud) {}, 0},
		"session id": {func(c *gen.Cloud) { c.SessionID = randomBytes(32) }, 0},
		"smallest extensions": {func(c *gen.Cloud) {
			c.Extensions = gen.Cat(gen.Ext(gen.ExtClientCertType, 2), gen.Ext(gen.ExtCIDDeviceOS, gen.Vec(1, c.CID)...))
		}, 0},
		"R-43 another key":  {func(c *gen.Cloud) { c.Scalar = scalarOf(another) }, dtls.DecryptError},
		"R-45 certificate":  {func(c *gen.Cloud) { c.Certificate = gen.RawCertificate(gen.SPKI(c.Scalar)) }, dtls.UnexpectedMessage},
		"CID of nine bytes": {func(c *gen.Cloud) { c.Extensions = gen.CloudExtensions(randomBytes(9)) }, dtls.HandshakeFailure},
		"CID whose length lies": {func(c *gen.Cloud) {
			c.Extensions = gen.Cat(gen.CloudExtensions(nil), gen.Ext(gen.ExtCIDDeviceOS, gen.VecAs(1, 7, c.CID)...))
		}, dtls.IllegalParameter},
		"signature by SHA-384":       {func(c *gen.Cloud) { c.ServerKeyExchange = otherHash(c) }, dtls.IllegalParameter},
		"request with other content": {func(c *gen.Cloud) { c.CertificateRequest = gen.Hex("020140 0004 0501 0403 0000") }, 0},
		"no request":                 {func(c *gen.Cloud) { c.NoRequest = true }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := &gen.Cloud{
				Scalar: scalarOf(theirs), Ephemeral: scalarOf(another),
				Session: gen.Session{ServerRandom: randomBytes(32), CID: randomBytes(8)},
			}
			c.forge(cloud)
			client := dtls.NewClient(&dtls.ClientConfig{
				Gen: dtls.GenF, Key: ours.key, ServerKey: &theirs.key.PublicKey, Rand: rand.Reader,
			})
			var out dtls.Out
			client.Start(0, &out)
			give := func(datagrams ...[]byte) {
				out.Reset()
				for _, d := range datagrams {
					client.Receive(0, bytes.Clone(d), &out)
				}
			}
			give(cloud.SendVerifyRequest(randomBytes(32)).Bytes())
			cloud.ReadHello(out.Datagrams...)
			give(cloud.SendFlight()...)
			if c.want != 0 {
				checkRefused(t, &out, c.want)
				return
			}
			if !cloud.ReadFlight(out.Datagrams...) {
				t.Error("the client's Finished is wrong")
			}
			give(cloud.SendFinished(0)...)
			if len(out.Events) == 0 || out.Events[0].Kind != dtls.EventEstablished {
				t.Fatalf("events %v, want established", out.Events)
			}
			up, err := out.Events[0].Session.Seal(nil, dtls.TypeApplication, []byte("up"))
			if want := cloud.FromDevice(1, gen.ApplicationData, []byte("up")).Bytes(); err != nil || !bytes.Equal(up, want) {
				t.Errorf("sealed %x, %v, want %x", up, err, want)
			}
		})
	}
}

func otherHash(c *gen.Cloud) []byte {
	return gen.ServerKeyExchange(gen.KeyExchangeParams(gen.Point(c.Ephemeral)), gen.ECDSASHA384, gen.Sign(c.Scalar, nil))
}

// checkRefused wants a failure with an alert that was also sent.
func checkRefused(t *testing.T, out *dtls.Out, want dtls.AlertDescription) {
	t.Helper()
	var alert *dtls.AlertError
	for _, e := range out.Events {
		if e.Kind == dtls.EventFailed && errors.As(e.Err, &alert) && alert.Description == want && alert.Local {
			records, _ := gen.Split(gen.Cat(out.Datagrams...), 8)
			last := records[len(records)-1]
			if last.Type != gen.Alert || !bytes.Equal(last.Body, []byte{2, byte(want)}) {
				t.Errorf("last record is type %d with %x, want the alert %d", last.Type, last.Body, want)
			}
			return
		}
	}
	var events []string
	for _, e := range out.Events {
		events = append(events, e.Kind.String()+" "+e.Reason.String())
	}
	t.Errorf("%v after %s, want alert %v", alert, strings.Join(events, ", "), want)
}
