package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/evidence"
	"github.com/muster/muster/harness/ledger"
	"github.com/muster/muster/harness/recording"
	"github.com/muster/muster/harness/report"
	"github.com/muster/muster/harness/target"
	"github.com/muster/muster/protocol/pdc"
	"github.com/muster/muster/protocol/trace"
)

const judgeTool = "muster judge"

const judgeLong = `Judge traffic that somebody else captured.

It applies the passive checks: those that only read packets. FILE is a pcap or
pcapng file, plain or gzipped, of Ethernet, loopback, Linux cooked or raw IP; IPv4
or IPv6. A folder stands for the capture files in it.

What is encrypted is judged as far as --keys open it:
  DTLS  a key log with lines of CLIENT_RANDOM (NSS form, as Wireshark has it).
        A private key is of no use: handshakes have forward secrecy.
  TCP   the device's RSA private key, PEM or DER; or a key log with lines
        "PARTICLE_NONCE nonce credentials" or "PARTICLE_CREDENTIALS credentials",
        40 bytes each, in hex. The cloud's RSA key beside them tells device ids.
A pcapng file may hold its key log itself, as those of a bundle do.

A recording may begin and end anywhere and have holes. A check judges what is
there, and takes nothing for missing that may only not have been captured.

Exit codes: 0 all that could be judged passed, 1 something failed, 2 wrong usage,
3 nothing could be judged.`

// judgeOptions say what to judge.
type judgeOptions struct {
	files, keys, clouds, only []string
	deviceOS, out, trace      string
	max                       int
}

// JudgeCommand returns the sub-command "judge".
func JudgeCommand() *cobra.Command {
	var (
		o    judgeOptions
		list bool
	)
	cmd := &cobra.Command{
		Use:   "judge FILE…",
		Short: "Judge traffic that somebody else captured",
		Long:  judgeLong,
		Example: `  muster judge field.pcapng --keys sslkeys.log
  muster judge photon.pcap --keys device.der --device-os 1.4.4
  muster judge out/bundle                  what a run left
  muster judge bench.pcap --keys fleet     a folder with the keys of a fleet
  muster judge any.pcap --cloud 203.0.113.7 --keys k.log --trace decoded.jsonl
  muster judge --list                      what is judged`,
		SilenceUsage: true,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"pcap", "pcapng", "cap", "gz"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return writePassive(cmd.OutOrStdout())
			}
			o.files = args
			return judgeFiles(cmd.Context(), &o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.keys, "keys", nil, "key log or RSA private key, or a folder of them, such as a bundle or the keys of a fleet; may be given more than once")
	flags.StringArrayVar(&o.clouds, "cloud", nil, "address of the cloud, with a port or without, where it is not found by itself")
	flags.StringVar(&o.deviceOS, "device-os", "", "release of the devices, such as 2.3.1, where the traffic does not tell")
	flags.StringArrayVar(&o.only, "check", nil, "only these checks, with wildcards: 'handshake/*'")
	flags.StringVar(&o.out, "out", filepath.Join("out", "judge"), "folder for the reports")
	flags.StringVar(&o.trace, "trace", "", "write the decoded packets, what they say included, to this file as lines of JSON")
	flags.IntVar(&o.max, "max-packets", 2_000_000, "how many packets of conversations are read")
	flags.BoolVar(&list, "list", false, "list the passive checks, and judge nothing")
	return cmd
}

// writePassive lists the passive checks.
func writePassive(w io.Writer) error {
	for _, s := range Suites() {
		for _, c := range s.Checks {
			if c.Judge == nil {
				continue
			}
			if _, err := fmt.Fprintf(w, "%-34s %s [%s]\n", s.Name+"/"+c.Name, c.Text, strings.Join(c.Requirements, " ")); err != nil {
				return err
			}
		}
	}
	return nil
}

func judgeFiles(ctx context.Context, o *judgeOptions, stdout, stderr io.Writer) error {
	usage := func(err error) error {
		fmt.Fprintln(stderr, "muster judge:", err)
		return &ExitError{report.ExitUsage}
	}
	if len(o.files) == 0 {
		return usage(errors.New("name a capture file; muster judge --help says which kinds there are"))
	}
	line := newProgress(stderr)
	run, packets, err := judge(ctx, o, line.show)
	line.end()
	if err != nil {
		return usage(err)
	}
	if o.trace != "" {
		if err := writeTrace(o.trace, packets); err != nil {
			return err
		}
	}
	written := writeReports(run, o.out)
	if err := run.WriteTerminal(stdout, isTerminal(stdout)); err != nil || written != nil {
		return errors.Join(err, written)
	}
	fmt.Fprintf(stdout, "reports: %s\n", filepath.Join(o.out, "index.html"))
	if code := run.ExitCode(); code != report.ExitClean {
		return &ExitError{code}
	}
	return nil
}

// writeTrace writes decoded packets to a file that only its owner reads: it holds what
// the sessions said.
func writeTrace(path string, packets []*trace.Packet) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing the trace: %w", err)
	}
	if err := errors.Join(evidence.WriteTrace(f, packets, true), f.Close()); err != nil {
		return fmt.Errorf("writing the trace: %w", err)
	}
	return nil
}

// judge judges recordings. The error is one of usage: a file that is none, keys that
// are none, no conversation.
func judge(ctx context.Context, o *judgeOptions, progress func(float64, string)) (*report.Run, []*trace.Packet, error) {
	release, err := releaseNamed(o.deviceOS)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	h := &hearing{options: o, ledger: ledger.New(), Hearing: &recording.Hearing{Max: o.max}}
	if err := h.open(); err != nil {
		return nil, nil, err
	}
	if err := h.Read(ctx, h.ledger.Add, progress); err != nil {
		return nil, nil, err
	}
	if len(h.Packets) == 0 {
		return nil, nil, h.nothing()
	}
	conversations := h.conversations(release)
	progress(1, "judging")
	run := &report.Run{
		Tool: judgeTool, Version: target.Version(), Started: began, Cloud: "the cloud at " + addresses(h.Peers.Found()),
		Device: fmt.Sprintf("%d conversations in %s", len(conversations), strings.Join(o.files, ", ")), Repeat: h.repeat(),
		Notes: h.notes(),
	}
	if run.Results, err = judgeAll(conversations, o.only); err != nil {
		return nil, nil, err
	}
	catalogue, err := requirements.Load()
	if err != nil {
		return nil, nil, err
	}
	run.Requirements = cited(catalogue, run.Results)
	run.Cohorts = cohorts(conversations)
	run.Ledger = h.ledger.Rows(func(id trace.DeviceID) (string, bool) { return releaseOf(conversations, id) })
	run.Duration = time.Since(began)
	return run, h.Packets, nil
}

// releaseNamed reads a release that a user names.
func releaseNamed(name string) (Release, error) {
	if name == "" {
		return Release{0, ^uint16(0)}, nil
	}
	module, _, err := pdc.SystemModule(name)
	return exactly(module), err
}

// judgeAll applies every passive check to every conversation, and adds up those of one
// release and transport.
func judgeAll(conversations []*Conversation, only []string) ([]report.Result, error) {
	type group struct{ release, transport string }
	groups := make(map[group][]*Conversation)
	var order []group
	for _, c := range conversations {
		g := group{c.Release.String(), c.Transport}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], c)
	}
	var results []report.Result
	for _, s := range Suites() {
		for _, check := range s.Checks {
			name := s.Name + "/" + check.Name
			wanted, err := selected(only, name)
			if err != nil {
				return nil, err
			}
			if check.Judge == nil || !wanted {
				continue
			}
			for _, g := range order {
				result := report.Result{
					Suite: s.Name, Check: check.Name, Text: check.Text, Requirements: check.Requirements,
					DeviceOS: g.release, Transport: g.transport, Devices: len(groups[g]),
				}
				results = append(results, judgeOne(result, &check, groups[g]))
			}
		}
	}
	if len(results) == 0 {
		return nil, fmt.Errorf("no passive check is called %s; muster judge --list shows them", strings.Join(only, " "))
	}
	return results, nil
}

func selected(only []string, name string) (bool, error) {
	for _, pattern := range only {
		ok, err := path.Match(pattern, name)
		suite, _, _ := strings.Cut(name, "/")
		if err != nil {
			return false, fmt.Errorf("%q is not a name of a check with wildcards: %w", pattern, err)
		}
		if ok || pattern == suite {
			return true, nil
		}
	}
	return len(only) == 0, nil
}

// judgeOne applies a check to conversations. What shows nothing of it is unsupported:
// a recording is no target that could be asked.
func judgeOne(result report.Result, check *Check, conversations []*Conversation) report.Result {
	if check.Skip != nil {
		switch why := check.Skip(&target.Group{Transport: result.Transport}); why {
		case noTCP, noUDP:
			result.Verdict, result.Reason = report.Unsupported, why
			return result
		}
	}
	began, recorder := time.Now(), new(Recorder)
	for _, c := range conversations {
		check.Judge(c, recorder)
	}
	result = recorder.result(result)
	if recorder.judged == 0 && result.Verdict == report.Inconclusive && len(result.Findings) == 0 {
		result.Verdict, result.Reason = report.Unsupported, "the recording shows nothing of it"
	}
	result.Duration = time.Since(began)
	return result
}

// A hearing is what recordings are read into.
type hearing struct {
	options *judgeOptions
	ledger  *ledger.Ledger
	*recording.Hearing
}

// open opens files and keys and finds out who is the cloud.
func (h *hearing) open() error {
	for _, text := range h.options.clouds {
		a, err := recording.ParsePeer(text)
		if err != nil {
			return fmt.Errorf("--cloud: %w", err)
		}
		h.Peers.Named = append(h.Peers.Named, a)
	}
	for _, name := range h.options.keys {
		if err := h.Keys.Add(name); err != nil {
			return err
		}
	}
	for _, path := range h.options.files {
		names, err := recording.Names(path)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := h.Open(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// nothing says why there is nothing to judge.
func (h *hearing) nothing() error {
	if len(h.Peers.Found()) == 0 {
		return errors.New("nobody in it looks like a cloud: no port 5684 or 5683, no DTLS ClientHello, no LightSSL nonce; name the cloud with --cloud ADDRESS")
	}
	return fmt.Errorf("there is no traffic with %s in it", addresses(h.Peers.Found()))
}

// notes says what could not be read, and why.
func (h *hearing) notes() []string {
	list := slices.Clone(h.Lines)
	if h.Sealed > 0 {
		how := "a key log with their CLIENT_RANDOM or PARTICLE_NONCE opens them (--keys)"
		if len(h.Keys.Logs)+len(h.Keys.Devices) > 0 {
			how = "the keys that were given are of other sessions, or their handshake lies before the recording"
		}
		list = append(list, fmt.Sprintf("%d records could not be decrypted: %s; checks that read messages judged only the others", h.Sealed, how))
	}
	if h.Rejected > 0 {
		list = append(list, fmt.Sprintf("%d records were not opened by the keys of their sessions: they are forged or damaged, or the keys are wrong", h.Rejected))
	}
	if h.Malformed > 0 {
		list = append(list, fmt.Sprintf("%d messages are no CoAP", h.Malformed))
	}
	if h.Stopped {
		list = append(list, fmt.Sprintf("reading stopped at %d packets: --max-packets reads more", h.options.max))
	}
	if h.Messages == 0 {
		list = append(list, "no message could be read: what is judged are handshakes and forms only")
	}
	return list
}

// repeat is the command that judges the same again.
func (h *hearing) repeat() string {
	words := append([]string{judgeTool}, h.options.files...)
	for _, group := range []struct {
		flag   string
		values []string
	}{{"--keys", h.options.keys}, {"--cloud", h.options.clouds}, {"--check", h.options.only}} {
		for _, v := range group.values {
			words = append(words, group.flag, v)
		}
	}
	if h.options.deviceOS != "" {
		words = append(words, "--device-os", h.options.deviceOS)
	}
	return strings.Join(words, " ")
}

func addresses(list []netip.AddrPort) string {
	var texts []string
	for _, a := range list {
		text := a.String()
		if a.Port() == 0 {
			text = a.Addr().String()
		}
		texts = append(texts, text)
	}
	if more := len(texts) - 3; more > 0 {
		texts = append(texts[:3], fmt.Sprintf("%d more addresses", more))
	}
	return strings.Join(texts, ", ")
}

// conversations sorts packets by who speaks: by device id where it is known, else by
// the device's address.
func (h *hearing) conversations(named Release) []*Conversation {
	slices.SortStableFunc(h.Packets, func(a, b *trace.Packet) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Serial, b.Serial)) })
	owners := make(map[uint32]trace.DeviceID)
	for _, p := range h.Packets {
		if p.Association > 0 && p.Device != (trace.DeviceID{}) {
			owners[p.Association] = p.Device
		}
	}
	places := make(map[string]trace.DeviceID) // of addresses with one owner
	for _, p := range h.Packets {
		id, known := owners[p.Association]
		if before, seen := places[p.DeviceAddress]; known && p.Association > 0 && (!seen || before == id) {
			places[p.DeviceAddress] = id
		} else if known && seen {
			places[p.DeviceAddress] = trace.DeviceID{}
		}
	}
	type key struct {
		device    trace.DeviceID
		address   string
		transport trace.Transport
	}
	by := make(map[key]*Conversation)
	var list []*Conversation
	for _, p := range h.Packets {
		id := p.Device
		if id == (trace.DeviceID{}) {
			id = owners[p.Association]
		}
		if id == (trace.DeviceID{}) && p.Association == 0 {
			id = places[p.DeviceAddress]
		}
		k := key{device: id, transport: p.Transport}
		if id == (trace.DeviceID{}) {
			k.address = p.DeviceAddress
		}
		c := by[k]
		if c == nil {
			c = &Conversation{Device: id.String(), Transport: p.Transport.String(), Release: named}
			if k.address != "" {
				c.Device = k.address
			}
			by[k] = c
			list = append(list, c)
		}
		c.Packets = append(c.Packets, p)
	}
	for _, c := range list {
		c.Release = c.learnRelease()
	}
	return list
}

// learnRelease narrows the release of a device by what it said.
func (c *Conversation) learnRelease() Release {
	release := c.Release
	if release.Since == release.Until {
		return release
	}
	for _, o := range c.openings() {
		if !o.begun || c.Transport != trace.UDP.String() || !sent(o.packets, trace.Up, trace.ClientHello) {
			continue
		}
		if offered, _ := o.connectionID(); offered {
			release.Since = max(release.Since, pdc.OS3_1)
		} else {
			release.Until = min(release.Until, pdc.OS3_1-1)
		}
	}
	for _, s := range of(messages(c.Packets), kind(pdc.KindHello)) {
		if hello, err := pdc.ParseHello(s.message.CoAP); err == nil && s.packet.Direction == trace.Up && hello.System > 0 {
			release = exactly(hello.System)
		}
	}
	if release.Since > release.Until {
		return Release{0, ^uint16(0)} // it contradicts itself
	}
	return release
}

// releaseOf returns the release of a device, for the ledger.
func releaseOf(conversations []*Conversation, id trace.DeviceID) (string, bool) {
	for _, c := range conversations {
		if c.Device == id.String() {
			return c.Release.String(), true
		}
	}
	return "unknown", true
}

// cohorts counts conversations.
func cohorts(conversations []*Conversation) []report.Cohort {
	var list []report.Cohort
	for _, c := range conversations {
		i := slices.IndexFunc(list, func(x report.Cohort) bool { return x.DeviceOS == c.Release.String() && x.Transport == c.Transport })
		if i < 0 {
			list = append(list, report.Cohort{Board: "seen in the recording", DeviceOS: c.Release.String(), Transport: c.Transport})
			i = len(list) - 1
		}
		list[i].Devices++
	}
	return list
}
