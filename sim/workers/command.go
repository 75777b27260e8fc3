package workers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/sim/fleet"
	"github.com/muster/muster/sim/loadtest"
	"github.com/muster/muster/sim/workers/plan"
)

// NATSFlags are those of everybody who works together over NATS.
type NATSFlags struct {
	Server
	SecretFile string
}

// Register adds the flags.
func (n *NATSFlags) Register(f *pflag.FlagSet, use string) {
	f.StringVar(&n.URL, "nats", "", use+": nats://HOST:4222, several with commas (default: $NATS_URL)")
	n.others(f)
}

func (n *NATSFlags) others(f *pflag.FlagSet) {
	f.StringVar(&n.Creds, "nats-creds", "", "file with credentials for NATS, if they are not in the URL")
	f.StringVar(&n.CA, "nats-ca", "", "file with the certificate authority of the NATS server, if it is not a public one")
	f.StringVar(&n.SecretFile, "secret-file", "", "file with a secret that the coordinator and its workers share, 16 bytes or more: others are refused")
}

// Find takes the server of the environment if none is given. It reports whether there
// is one.
func (n *NATSFlags) Find() bool {
	if n.URL == "" {
		n.URL = os.Getenv("NATS_URL")
	}
	return n.URL != ""
}

// Secret reads the secret, if there is one.
func (n *NATSFlags) Secret() (Secret, error) {
	if n.SecretFile == "" {
		return nil, nil
	}
	return LoadSecret(n.SecretFile)
}

// RunFlags are those of "muster fleet run" about workers.
type RunFlags struct {
	NATSFlags
	ID             string
	Workers, Parts int
	Wait, Lease    time.Duration
}

// Register adds the flags.
func (r *RunFlags) Register(f *pflag.FlagSet) {
	f.StringVar(&r.URL, "nats", "", "run on the workers of this NATS server (muster fleet worker): nats://HOST:4222, several with commas")
	r.others(f)
	f.StringVar(&r.ID, "run-id", "", "with --nats: id of the run, with which it goes on when this process was killed (default: of the scenario's name and the time)")
	f.IntVar(&r.Workers, "workers", 0, "with --nats: wait for so many workers (default: until there is room for all devices)")
	f.DurationVar(&r.Wait, "worker-wait", time.Minute, "with --nats: how long workers may take to come")
	f.IntVar(&r.Parts, "parts", 0, "with --nats: into how many parts to cut the fleet (default: four for each worker at most)")
	f.DurationVar(&r.Lease, "lease", plan.DefaultLease, "with --nats: how long a silent worker keeps its devices")
}

// Check refuses what cannot work.
func (r *RunFlags) Check() error {
	switch {
	case r.URL == "" && (r.ID != "" || r.Workers != 0 || r.Parts != 0 || r.SecretFile != ""):
		return errors.New("--run-id, --workers, --parts and --secret-file are for runs with --nats URL")
	case r.ID != "" && !plan.ValidName(r.ID):
		return fmt.Errorf("--run-id %q: want up to 64 letters, digits, _ and -", r.ID)
	case r.Workers < 0 || r.Parts < 0 || r.Wait < 0:
		return errors.New("--workers, --parts and --worker-wait must not be negative")
	case r.Lease < leaseLeast:
		return fmt.Errorf("--lease %v: want %v or more, or every hiccup costs a worker its devices", r.Lease, leaseLeast)
	}
	return nil
}

// leaseLeast is the shortest lease that makes sense.
const leaseLeast = 2 * time.Second

// RunID makes the id of a run of a scenario that began at a time.
func RunID(name string, at time.Time) string {
	name = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(name), "-"), "-_")
	return strings.Trim(fmt.Sprintf("%.40s-%s", name, at.UTC().Format("20060102-150405")), "-")
}

const longWorker = `Wait for runs of "muster fleet run --nats", and run a part of their devices.

Any number of workers, on any hosts, wait on one NATS server with JetStream
(nats-server -js). A coordinator divides its fleet among those who are there; when
one of them dies, others take its devices over, as far as they have room.

A worker sends load wherever a coordinator says. Whoever may write to the NATS
server can be a coordinator, so protect it; with --secret-file only coordinators
that know the secret are heard.

Exit codes: 0 after the run with --once, 1 it could not take part, 2 wrong usage,
130 interrupted; what it had goes back then, and others take it over.`

// WorkerCommand returns the sub-command "worker".
func WorkerCommand() *cobra.Command {
	var n NATSFlags
	c := WorkerConfig{}
	var sources []string
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run devices of a fleet for a coordinator",
		Long:  longWorker,
		Example: `  nats-server -js &
  muster fleet worker --nats nats://bench:4222
                                            on each host
  muster fleet run storm.yaml --nats nats://bench:4222 --keys seed:7 …
                                            on one of them, or elsewhere
  muster fleet worker --nats nats://bench:4222 --once --wait 10m --name $(hostname)
                                            for one run, as in a batch job`,
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // the second signal ends it at once
			return work(ctx, &n, c, sources, cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	n.Register(f, "server on which to wait")
	f.StringVar(&c.Name, "name", defaultName(), "name of this worker, its own among all: up to 64 letters, digits, _ and -")
	f.IntVar(&c.Capacity, "capacity", 0, "how many devices it may get (default: what this machine's memory and sockets allow)")
	f.StringArrayVar(&sources, "source", nil, "local address of devices whose cloud is on another machine; repeatable, taken in turn")
	f.BoolVar(&c.Once, "once", false, "end after one run")
	f.DurationVar(&c.Wait, "wait", 0, "how long to wait for the first run; 0: for ever")
	return cmd
}

// indexVar names a pod of an Indexed Job of Kubernetes.
const indexVar = "JOB_COMPLETION_INDEX"

var notInNames = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// defaultName names a worker: by its index in a Job, or by host and process.
func defaultName() string {
	if index := os.Getenv(indexVar); index != "" && plan.ValidName("worker-"+index) {
		return "worker-" + index
	}
	host, _ := os.Hostname() // "" when there is none
	host, _, _ = strings.Cut(host, ".")
	if host = strings.Trim(notInNames.ReplaceAllString(host, "-"), "-_"); host == "" {
		host = "worker"
	}
	return fmt.Sprintf("%.40s-%d", host, os.Getpid())
}

// work is what the command does.
func work(ctx context.Context, n *NATSFlags, c WorkerConfig, sources []string, stderr io.Writer) error {
	var addrs []netip.Addr
	for _, s := range sources {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return usage("--source %s: want an IP address of this machine", s)
		}
		addrs = append(addrs, a)
	}
	secret, err := n.Secret()
	switch {
	case !n.Find():
		return usage("give --nats URL, or set NATS_URL: the server on which to wait")
	case !plan.ValidName(c.Name):
		return usage("--name %q: want up to 64 letters, digits, _ and -", c.Name)
	case c.Capacity < 0 || c.Wait < 0:
		return usage("--capacity and --wait must not be negative")
	case err != nil:
		return &fleet.UsageError{Err: err}
	}
	var mu sync.Mutex
	c.Say = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(stderr, "%s %s\n", time.Now().Format(time.TimeOnly), text)
	}
	c.Version, c.Secret, c.Host = Version(), secret, loadtest.Host(c.Name)
	c.Sockets = sockets(len(addrs))
	if c.Capacity == 0 {
		c.Capacity = capacity(c.Host.Memory)
	} else {
		c.Sockets = min(c.Sockets, c.Capacity)
	}
	if os.Getenv("GOGC") == "" {
		// Memory is there to be used: collecting garbage takes time from devices.
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(memoryLimit(c.Host.Memory))
	}
	b, err := Dial(ctx, n.Server, "muster fleet worker "+c.Name, c.Say)
	if err != nil {
		return err
	}
	defer b.Close()
	w, err := NewWorker(b, c, &Hands{Name: c.Name, Version: c.Version, Sources: addrs, Say: c.Say})
	if err != nil {
		return err
	}
	switch err := w.Serve(ctx); {
	case errors.Is(err, context.Canceled):
		return &fleet.ExitError{Code: 130}
	case errors.Is(err, ErrNoWork):
		return fmt.Errorf("%w (%v): start one with \"muster fleet run SCENARIO --nats URL\" on this server", err, c.Wait)
	default:
		return err
	}
}

func usage(format string, args ...any) error {
	return &fleet.UsageError{Err: fmt.Errorf(format, args...)}
}

// deviceMemory is what a device may take of a worker's memory, in bytes, with its
// share of buffers: several times what it takes.
const deviceMemory = 8 << 10

// capacityMost is how many devices a fleet has addresses for on loopback.
const capacityMost = 1 << 20

// capacity is for how many devices a machine has room.
func capacity(memory uint64) int {
	if memory == 0 {
		return 100_000
	}
	return int(min(memory/2/deviceMemory, capacityMost))
}

// gcPercent is how much memory may be garbage, in percent of what is in use.
const gcPercent = 400

// memoryLimit is from where on garbage is collected at once, in bytes.
func memoryLimit(memory uint64) int64 {
	if memory == 0 {
		return math.MaxInt64
	}
	return int64(memory / 2)
}

// Version is that of the program. Programs built of other sources have another one,
// but for changes that were not committed.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
