package cloudref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
	"github.com/muster/muster/cloudref/hooks"
	"github.com/muster/muster/cloudref/store"
	"github.com/muster/muster/protocol/pdc"
)

const longCloud = `Run the reference cloud: boards and simulated devices connect to it.

Without flags it listens on UDP 5684 (DTLS) and TCP 5683 (the first boards), serves
the REST API and the event streams on HTTP 8080, and keeps keys, devices and
sessions in the data directory. The first start makes the keys of the cloud and
says how to bring them to a board. It makes a user and a token too, writes them to
<data>/login.txt, and says how to point clients at this cloud.

The API is plain HTTP, for programs of this machine only: for others, give --http
another address, and --tls-self or --tls-cert, or tokens cross the network in clear.
Accounts are made by you ("muster cloud user add"), unless --sign-up lets everybody
who reaches the API make one.

A device gets in when its public key is registered: with "muster cloud device
add", at any time, by a file <data>/devices/<id>.pub.pem, by "particle keys doctor",
or, for a time that you choose, by connecting (--trust-new-for).

It ends with SIGINT or SIGTERM. Sessions stay: devices resume them when the cloud
is back.

Exit codes: 0 stopped, 1 failed, 2 wrong usage.`

// A UsageError says that the command was called wrongly.
type UsageError struct{ Err error }

// Error returns what is wrong.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *UsageError) Unwrap() error { return e.Err }

// Usage marks the error as one of usage.
func (e *UsageError) Usage() {}

// settings are what the flags of the command say.
type settings struct {
	data, udp, tcp, http, host, nats, format string
	natsFiles                                store.ServerFiles
	certificate, certificateKey              string
	memory, verbose, ownTLS, sync            bool
	pprof                                    string
	signUp, rateLimits, showToken            bool
	hooksPublic                              bool
	trustNew                                 time.Duration
	tuning                                   tuning
}

// Command returns the sub-command "cloud".
func Command() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "cloud",
		Short: "Run the reference cloud",
		Long:  longCloud,
		Example: `  muster cloud                                   run, with the data directory of this user
  muster cloud --host 192.168.1.20               tell boards this address
  muster cloud --udp 127.0.0.1:5684 --tcp "" --http "" --memory
                                                 for a test on this machine
  muster cloud --trust-new-for 10m               register every board that connects in ten minutes
  muster cloud --http 0.0.0.0:8443 --tls-self    the API for other machines, encrypted
  muster cloud device add e00fce68a1b2c3d4e5f60718 --key device.pub.pem --name lamp`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.PersistentFlags().StringVar(&s.data, "data", defaultData(), "data directory")
	cmd.PersistentFlags().StringVar(&s.nats, "nats", "", "URL of a NATS cluster with JetStream, instead of the data directory's own")
	cmd.PersistentFlags().StringVar(&s.natsFiles.Creds, "nats-creds", "", "file with the credentials for --nats, as nsc writes them")
	cmd.PersistentFlags().StringVar(&s.natsFiles.CA, "nats-ca", "", "PEM file with the certificates that vouch for the servers of --nats (default: those that this machine trusts)")
	cmd.PersistentFlags().StringVar(&s.natsFiles.Cert, "nats-cert", "", "PEM file with the certificate that this machine shows to the servers of --nats")
	cmd.PersistentFlags().StringVar(&s.natsFiles.Key, "nats-key", "", "PEM file with the key of --nats-cert")
	cmd.PersistentFlags().StringVar(&s.host, "host", "", "IPv4 address or name by which boards reach this cloud (default: that of this machine)")
	cmd.Flags().StringVar(&s.udp, "udp", fmt.Sprintf("0.0.0.0:%d", PortUDP), `UDP address to listen on, "" for none`)
	cmd.Flags().StringVar(&s.tcp, "tcp", fmt.Sprintf("0.0.0.0:%d", PortTCP), `TCP address to listen on, "" for none`)
	cmd.Flags().StringVar(&s.http, "http", fmt.Sprintf("127.0.0.1:%d", PortHTTP), `TCP address for the REST API, "" for none; without TLS, tokens cross networks in clear`)
	cmd.Flags().StringVar(&s.certificate, "tls-cert", "", "PEM file with the certificate of the API, which is then HTTPS")
	cmd.Flags().StringVar(&s.certificateKey, "tls-key", "", "PEM file with the key of --tls-cert")
	cmd.Flags().BoolVar(&s.ownTLS, "tls-self", false, "serve the API over HTTPS with a certificate of its own, made in the data directory")
	cmd.Flags().BoolVar(&s.signUp, "sign-up", false, "let everybody who reaches the API make an account (POST /v1/users)")
	cmd.Flags().BoolVar(&s.rateLimits, "rate-limits", false, "refuse what the real service refuses as too much, with 429")
	cmd.Flags().DurationVar(&s.trustNew, "trust-new-for", 0, "register every device that connects in this time with the key that it has, up to 24h")
	cmd.Flags().BoolVar(&s.showToken, "show-token", false, "print the token that the first start makes even where the output is no terminal")
	cmd.Flags().BoolVar(&s.hooksPublic, "hooks-public", false, "webhooks reach public addresses only, neither this machine nor private networks")
	cmd.Flags().BoolVar(&s.memory, "memory", false, "keep devices and sessions in memory; the keys stay in the data directory")
	cmd.Flags().BoolVar(&s.sync, "sync", false, "wait for the disk at every write: what was acknowledged survives a loss of power too, at a tenth of the speed or less")
	cmd.Flags().BoolVarP(&s.verbose, "verbose", "v", false, "log every event and every command")
	cmd.Flags().StringVar(&s.pprof, "pprof", "", "address on this machine that serves Go profiles of this process, such as 127.0.0.1:6060")
	cmd.Flags().StringVar(&s.format, "log", "text", "form of the log: text or json")
	s.tuning.flags(cmd.Flags())
	cmd.AddCommand(s.deviceCommand(), s.keysCommand(), s.tokenCommand(), s.userCommand(), s.doctorCommand())
	return cmd
}

// defaultData is where the state of this user's programs belongs.
func defaultData() string {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "muster", "cloud")
	}
	if home, err := os.UserHomeDir(); err == nil {
		return filepath.Join(home, ".local", "state", "muster", "cloud")
	}
	return "muster-cloud"
}

// options checks what the flags say.
func (s *settings) options() (Options, error) {
	o := Options{Dir: s.data, NATS: s.nats, NATSFiles: s.natsFiles, Memory: s.memory, SyncAlways: s.sync, Page: s.http != ""}
	if s.hooksPublic {
		o.Hooks.Deny, o.Hooks.DenyOwn = hooks.PrivateNetworks, true
	}
	var err error
	if o.UDP, err = listenAddress("--udp", s.udp); err != nil {
		return o, err
	}
	if o.TCP, err = listenAddress("--tcp", s.tcp); err != nil {
		return o, err
	}
	web, err := listenAddress("--http", s.http)
	if err != nil {
		return o, err
	}
	if web.IsValid() {
		s.http = web.String()
	}
	switch {
	case s.data == "":
		return o, errors.New("--data: the data directory needs a name; for state in memory use --memory")
	case (s.certificate == "") != (s.certificateKey == ""):
		return o, errors.New("--tls-cert and --tls-key belong together")
	case s.ownTLS && s.certificate != "":
		return o, errors.New("--tls-self and --tls-cert exclude each other")
	case s.trustNew < 0 || s.trustNew > trustMax:
		return o, fmt.Errorf("--trust-new-for %v: want up to %v: who connects in that time gets in for good", s.trustNew, trustMax)
	case s.sync && (s.memory || s.nats != ""):
		return o, errors.New("--sync is for the data directory; with --nats it is a setting of the NATS servers (sync_interval: always)")
	case s.nats == "" && s.natsFiles != (store.ServerFiles{}):
		return o, errors.New("--nats-creds, --nats-ca, --nats-cert and --nats-key are for --nats")
	case (s.natsFiles.Cert == "") != (s.natsFiles.Key == ""):
		return o, errors.New("--nats-cert and --nats-key belong together")
	case s.memory && s.nats != "":
		return o, errors.New("--memory and --nats exclude each other")
	case !o.UDP.IsValid() && !o.TCP.IsValid():
		return o, errors.New("--udp and --tcp are both off: nobody could connect")
	}
	return o, s.tuning.apply(&o)
}

// listenAddress reads an address to listen on: ":port" is every address of this
// machine.
func listenAddress(flag, text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, nil
	}
	full := text
	switch host, port, _ := strings.Cut(text, ":"); host {
	case "":
		full = "0.0.0.0:" + port
	case "localhost":
		full = "127.0.0.1:" + port
	}
	a, err := netip.ParseAddrPort(full)
	if err != nil {
		return a, fmt.Errorf("%s %s: want an address and a port, such as 0.0.0.0:5684 or :5684", flag, text)
	}
	return a, nil
}

func (s *settings) logger(w io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	if s.verbose {
		level = slog.LevelDebug
	}
	switch options := (&slog.HandlerOptions{Level: level}); s.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, fmt.Errorf("--log %s: want text or json", s.format)
	}
}

// run runs a cloud until a signal comes.
func (s *settings) run(ctx context.Context, stdout, stderr io.Writer) error {
	log, err := s.logger(stderr)
	if err != nil {
		return &UsageError{err}
	}
	o, err := s.options()
	if err != nil {
		return &UsageError{err}
	}
	if _, err := addressFor(firstOf(s.host, ownAddress()), PortUDP); err != nil {
		return &UsageError{err}
	}
	profiles, stopPprof, err := servePprof(s.pprof, log)
	if err != nil {
		return &UsageError{err}
	}
	o.Log = func(line string) { log.Warn(line) }
	o.Observe = func(o endpoint.Observation) { logObservation(log, o) }
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	_, statErr := os.Stat(filepath.Join(o.Dir, fileECKey))
	c, err := Start(ctx, o)
	if err != nil {
		return errors.Join(err, stopPprof())
	}
	c.Own(profiles)
	err = s.serve(ctx, c, os.IsNotExist(statErr), log, stdout)
	return errors.Join(err, c.Stop(), stopPprof())
}

func (s *settings) serve(ctx context.Context, c *Cloud, first bool, log *slog.Logger, stdout io.Writer) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	host := firstOf(s.host, ownAddress())
	web, err := openWeb(ctx, c, webOptions{
		address: s.http, certificate: s.certificate, key: s.certificateKey, own: s.ownTLS, host: host,
		signUp: s.signUp, limits: s.rateLimits, api: s.tuning.api(),
	}, log)
	if err != nil {
		return err
	}
	if err := s.prepare(ctx, c, web, host, first, stdout); err != nil {
		return errors.Join(err, web.stop())
	}
	closeDesk, err := c.openDesk()
	if err != nil {
		log.Warn("device commands need the cloud to be stopped", "reason", err)
		closeDesk = func() error { return nil }
	}
	web.start(end)
	log.Info("the cloud is up", "udp", text(c.UDP()), "tcp", text(c.TCP()), "http", text(web.addr()), "data", c.o.Dir,
		"devices", c.store.Report().Devices, "sessions", c.node.Counts().Restored.Load())
	if a := web.addr(); a.IsValid() && !a.Addr().IsLoopback() && !web.secure {
		log.Warn("the REST API is plain HTTP: tokens cross the network in clear; --tls-self encrypts", "http", text(a))
	}
	if s.trustNew > 0 {
		if err := c.letIn(ctx, s.trustNew); err != nil {
			return errors.Join(err, web.stop(), closeDesk())
		}
		log.Warn("every device that connects is registered with the key that it has", "for", s.trustNew.String())
	}
	newWatcher(c, log).run(ctx)
	log.Info("stopping")
	return errors.Join(web.stop(), closeDesk())
}

// prepare makes what boards and clients need to get in, and says how they do.
func (s *settings) prepare(ctx context.Context, c *Cloud, web *web, host string, first bool, stdout io.Writer) error {
	account, err := c.Account(ctx, defaultOwner)
	if err != nil {
		return err
	}
	boards := guide{dir: c.o.Dir, host: host, udp: portOf(c.UDP(), PortUDP), tcp: portOf(c.TCP(), PortTCP)}
	if err := WriteKeyBlobs(c.o.Dir, host, boards.udp, boards.tcp, c.PublicKeyUDP(), c.PublicKeyTCP()); err != nil {
		return err
	}
	// A folder to drop keys into. Without it everything else works.
	if err := os.MkdirAll(filepath.Join(c.o.Dir, watchFolder), 0o700); err != nil {
		c.o.Log("the folder for devices' keys cannot be made: " + err.Error())
	}
	if first {
		boards.boards(stdout)
	}
	if web.listener == nil {
		return nil
	}
	token, err := c.makeLogin(ctx, web.rest, account)
	if token != "" {
		g := loginGuide{url: web.url(host), file: c.o.loginFile()}
		if s.showToken || isTerminal(stdout) {
			g.token = token
		}
		if s.ownTLS {
			g.certificate = filepath.Join(c.o.Dir, fileCertificate)
		}
		g.clients(stdout)
	}
	return err
}

func portOf(a netip.AddrPort, standard uint16) uint16 {
	if a.IsValid() {
		return a.Port()
	}
	return standard
}

func text(a netip.AddrPort) string {
	if !a.IsValid() {
		return "off"
	}
	return a.String()
}

// ownAddress is the first IPv4 address of this machine that others can reach.
func ownAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr().String()
		}
	}
	return "127.0.0.1"
}

// logObservation writes what an operator wants to know. Data of events and
// arguments are the users' and stay out of it.
func logObservation(log *slog.Logger, o endpoint.Observation) {
	who := []any{}
	if o.Device != (store.DeviceID{}) {
		who = append(who, "device", o.Device.String())
	}
	if o.Session.Peer != "" {
		who = append(who, "peer", o.Session.Peer)
	}
	switch o.What {
	case endpoint.Online:
		log.Info("online", append(who, "transport", o.Session.Transport, "resumed", o.Session.Resumed)...)
	case endpoint.Offline:
		log.Info("offline", append(who, "reason", o.Detail)...)
	case endpoint.Ended:
		log.Info("session ended", append(who, "reason", o.Detail)...)
	case endpoint.Secured:
		log.Debug("secured", who...)
	case endpoint.Published:
		log.Debug("event", append(who, "name", o.Event.Name, "bytes", len(o.Event.Data))...)
	case endpoint.Application:
		logEffect(log, o.Effect, who)
	default:
		// Refused comes as a line of Options.Log.
	}
}

func logEffect(log *slog.Logger, e app.Effect, who []any) {
	switch e := e.(type) {
	case app.HelloAccepted:
		log.Info("hello", append(who, "platform", e.Hello.Platform.String(), "os", pdc.Release(e.Hello.System))...)
	case app.FlashProgress:
		level := slog.LevelInfo
		if e.Err != nil {
			level = slog.LevelWarn
			who = append(who, "reason", e.Err.Error())
		}
		log.Log(context.Background(), level, "update", append(who, "stage", e.Stage.String(), "sent", e.Sent, "of", e.Total)...)
	case app.SafeMode:
		log.Warn("safe mode", append(who, "missing", len(e.Missing))...)
	default:
		log.Debug(fmt.Sprintf("%T", e), who...)
	}
}
