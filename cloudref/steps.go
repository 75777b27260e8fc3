package cloudref

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"

	"github.com/muster/muster/protocol/keyblob"
)

// A guide says what to do with a cloud that was started for the first time.
type guide struct {
	dir      string // the data directory
	host     string // by which boards reach the cloud
	udp, tcp uint16
}

// boards says how to bring a board.
func (g guide) boards(w io.Writer) {
	fmt.Fprintf(w, `The keys of this cloud were made. To bring a board here:

1. Save the board's old server key, then write this cloud's, with the board in DFU mode:
     Electron, Argon, Boron, P2 and later (UDP port %[6]d):
       dfu-util -d 2b04 -a 1 -s %[3]d:%[8]d -U server-key.backup
       %[1]s
     Photon, P1 (TCP port %[7]d):
       dfu-util -d 2b04 -a 1 -s %[4]d:%[9]d -U server-key.backup
       %[2]s
     Core (TCP port %[7]d): the file for the Photon, with
       -d 1d50:607f -a 1 -s 0x1000:2048 to save and -s 0x1000 to write
   The files hold the key and the address %[5]s; for another address start with --host.
2. Register the board's public key, in one of these ways:
       muster cloud device add DEVICE_ID --key FILE
       cp FILE %[10]s
       particle keys doctor DEVICE_ID          (POST /v1/provisioning/DEVICE_ID)
       muster cloud device trust 10m           every board that connects in that time
3. Reset the board. If it does not come online: muster cloud doctor

`, dfuLine(filepath.Join(g.dir, fileBlobUDP), dfuUDP), dfuLine(filepath.Join(g.dir, fileBlobTCP), dfuTCP), dfuUDP, dfuTCP,
		g.host, g.udp, g.tcp, keyblob.UDP.Size(), keyblob.TCP.Size(), filepath.Join(g.dir, "devices", "DEVICE_ID"+watchSuffix))
}

// A loginGuide says how to point clients at the API.
type loginGuide struct {
	url         string
	file        string // with the password and the token
	token       string // shown only to a person who has just asked for it by starting the cloud; else empty
	certificate string // of our own, which clients must be told to trust; else empty
}

// clients says how to point clients at the API. Secrets stay in their file, but
// for the token where it is to be shown.
func (g loginGuide) clients(w io.Writer) {
	token, shown := "TOKEN", ""
	if g.token != "" {
		token, shown = g.token, "\nThis token is shown once. It does not expire; make others with: muster cloud token\n"
	}
	trust, curl := "", ""
	if g.certificate != "" {
		trust = "\n    export NODE_EXTRA_CA_CERTS=" + g.certificate
		curl = " --cacert " + g.certificate
	}
	fmt.Fprintf(w, `The REST API is on %[1]s, and a live page for your browser. The password and the token of its first user, %[3]q, are in
  %[2]s
%[5]s
  particle-cli (before 3.47: "config" instead of "profile"):%[6]s
    particle profile local apiUrl %[1]s
    particle profile local
    particle login --token %[4]s
  particle-api-js:
    new Particle({ baseUrl: '%[1]s' }), and auth: TOKEN in each call
  curl:
    curl%[7]s -H "Authorization: Bearer %[4]s" %[1]s/v1/devices

`, g.url, g.file, defaultOwner, token, shown, trust, curl)
}

// isTerminal reports whether a person reads what is written to w. What goes
// elsewhere may be kept as a log, where no secret belongs.
func isTerminal(w io.Writer) bool {
	f, is := w.(*os.File)
	return is && term.IsTerminal(int(f.Fd()))
}
