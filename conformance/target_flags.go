package conformance

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/target"
)

// targetFlags are the flags that say what is judged and how strictly.
type targetFlags struct {
	file      string
	cloud     string
	transport string
	tcpPort   uint16
	cloudKeys []string
	keys      string
	api       string
	tokens    []string
	name      string

	device    string
	profile   string
	deviceID  string
	deviceKey string
	pipe      bool
	shared    bool
	commands  bool
	image     string
	cutAt     []string

	baseline string
}

func (f *targetFlags) add(cmd *cobra.Command, o *Options) {
	fs := cmd.Flags()
	fs.StringVar(&f.file, "target", "", "file that says what is judged; or use the flags below")
	fs.StringVar(&f.cloud, "cloud", "", "HOST[:PORT] of the cloud to judge (ports: UDP 5684, TCP 5683)")
	fs.StringVar(&f.transport, "transport", "", "udp, tcp or both (default: those for which there is a --cloud-key)")
	fs.Uint16Var(&f.tcpPort, "tcp-port", 0, "port for devices over TCP, if it is not that of --cloud")
	fs.StringArrayVar(&f.cloudKeys, "cloud-key", nil, "public key of the cloud: a file (PEM, DER, key blob) or the reference cloud's data directory; repeatable")
	fs.StringVar(&f.keys, "keys", "", "folder with the keys of devices that the cloud knows, made by muster fleet --keys-out")
	fs.StringVar(&f.api, "api", "", "base URL of the cloud's REST API, if it has one")
	fs.StringArrayVar(&f.tokens, "api-token-file", nil, "file with an access token of the account that owns the devices (default: the variable "+target.TokenEnv+"); a second one is of another account that owns some of them")
	fs.StringVar(&f.name, "name", "", "what the target is called in reports and baselines")
	fs.StringVar(&f.device, "device", "", "device to judge alone: sim[:PROFILE], 'process:COMMAND' or rig:NAME")
	fs.StringVar(&f.profile, "profile", "", "what --device process: is, such as gcc-udp@6.2.0")
	fs.StringVar(&f.deviceID, "device-id", "", "device id of the program, 24 hex digits (default: drawn)")
	fs.StringVar(&f.deviceKey, "device-key", "", "private key of the program, DER or PEM (default: made)")
	fs.BoolVar(&f.pipe, "pipe", false, "give the program a pipe as its console, instead of a terminal")
	fs.StringVar(&f.image, "device-image", "", "application that the board can run: updates send it (boards on a rig get no other)")
	fs.StringSliceVar(&f.cutAt, "cut-at", nil, "when bench cuts updates off: chunk:N when that chunk is acknowledged, N% when that much is; repeatable (default chunk:17)")
	fs.BoolVar(&f.shared, "shared-network", false, "let the program see the network of this machine (else one over UDP reaches its cloud and nothing else)")
	fs.BoolVar(&f.commands, "device-commands", false, "the program's application takes lines on its console, such as publish NAME DATA")
	fs.StringVar(&o.Level, "level", "", "least binding level whose violation is a failure: MUST or SHOULD (default: every level)")
	fs.StringVar(&o.DeviceOS, "device-os", "", `range of Device OS versions, such as ">= 2.0, < 4" (default: all)`)
	fs.StringVar(&o.Shard, "shard", "", "run one part of the checks, such as 2/4")
	fs.StringVar(&f.baseline, "baseline", "", "file of expected deviations: then any difference from it is exit code 4")
	fs.IntVar(&o.Retries, "retries", 0, "how often to try a check again that does not pass; every attempt is reported")
	fs.IntVar(&o.FlakeBudget, "flake-budget", 0, "how many results may pass only when tried again")
	fs.DurationVar(&o.Timeout, "timeout", 30*time.Minute, "how long the whole run may take; 0: no limit")
	for _, pair := range [][2]string{
		{"target", "cloud"},
		{"target", "device"},
		{"cloud", "device"},
		{"transport", "target"},
		{"profile", "target"},
	} {
		cmd.MarkFlagsMutuallyExclusive(pair[0], pair[1])
	}
	_ = cmd.RegisterFlagCompletionFunc("level", fixed(requirements.Levels()))
	_ = cmd.RegisterFlagCompletionFunc("transport", fixed([]string{"udp", "tcp", "both"}))
	_ = cmd.RegisterFlagCompletionFunc("device", fixed([]string{"sim:", "process:", "rig:"}))
}

// complete puts what the flags say into the options.
func (f *targetFlags) complete(cmd *cobra.Command, o *Options) (err error) {
	o.Level = strings.ToUpper(o.Level)
	switch {
	case f.file != "":
		o.Spec, err = target.LoadSpec(f.file)
	case f.cloud != "":
		o.Spec, err = f.cloudSpec()
	case f.device != "":
		o.Spec, err = f.deviceSpec()
	case len(f.cloudKeys) > 0 || f.keys != "" || f.api != "":
		err = errors.New("--cloud-key, --keys and --api are about a cloud: give --cloud HOST too")
	case f.profile != "" || f.deviceID != "" || f.deviceKey != "" || f.image != "" || len(f.cutAt) > 0:
		err = errors.New("--profile, --device-id, --device-key, --device-image and --cut-at are about a device: give --device too")
	}
	if err != nil {
		return err
	}
	if f.name != "" {
		if o.Spec == nil {
			o.Spec = &target.Spec{}
		}
		o.Spec.Name = f.name
	}
	if o.Spec.Judged() != "" && !cmd.Flags().Changed("devices") {
		o.Devices = devicesAlone
	}
	if o.Spec != nil && o.Spec.Device != nil && o.Spec.Device.Rig != "" && !cmd.Flags().Changed("patience") {
		o.Patience = rigPatience
	}
	if f.baseline != "" {
		if o.Baseline, err = LoadBaseline(f.baseline); err != nil {
			return err
		}
	}
	o.flags = given(cmd)
	return nil
}

// rigPatience is that of boards on rigs, if not said otherwise: one that is updated
// and restarted in the middle of that takes minutes.
const rigPatience = 5 * time.Minute

// devicesAlone is how many devices take part when only one side is judged, if not
// said otherwise.
const devicesAlone = 40

// given returns the flags that were given, but for those that a repeated run has
// anyhow.
func given(cmd *cobra.Command) string {
	var b strings.Builder
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if slices.Contains([]string{"devices", "seed", "out", "list"}, f.Name) {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			fmt.Fprintf(&b, " --%s=%s", f.Name, word(v))
		}
	})
	return b.String()
}

// word quotes a value for the shell, if it needs it.
func word(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\n'\"\\$`*?[]{}()<>|&;~#!") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// cloudSpec is what the flags say of a cloud.
func (f *targetFlags) cloudSpec() (*target.Spec, error) {
	host, port, err := net.SplitHostPort(f.cloud)
	if err != nil {
		host, port = f.cloud, ""
	}
	at := func(port string) string {
		if port == "" {
			return host
		}
		return net.JoinHostPort(host, port)
	}
	c := &target.CloudSpec{Keys: f.cloudKeys, Devices: f.keys}
	if f.api != "" {
		c.API = &target.APISpec{URL: f.api, Token: target.Secret{Env: target.TokenEnv}}
		if len(f.tokens) > 0 {
			c.API.Token = target.Secret{File: f.tokens[0]}
		}
		if len(f.tokens) > 1 {
			c.API.Second = target.Secret{File: f.tokens[1]}
		}
	}
	tcp := port
	if f.tcpPort != 0 {
		tcp = fmt.Sprint(f.tcpPort)
	}
	switch f.transport {
	case "udp":
		c.UDP = at(port)
	case "tcp":
		c.TCP = at(tcp)
	case "", "both":
		c.UDP, c.TCP = at(port), at(tcp)
	default:
		return nil, fmt.Errorf("--transport %s: want udp, tcp or both", f.transport)
	}
	return &target.Spec{Cloud: c}, nil
}

// deviceSpec is what the flags say of a device.
func (f *targetFlags) deviceSpec() (*target.Spec, error) {
	d, err := target.ParseDevice(f.device)
	if err != nil {
		return nil, err
	}
	if f.profile != "" {
		d.Profile = f.profile
	}
	if d.Process != nil {
		d.Process.Pipe, d.Process.Commands, d.Process.SharedNetwork = f.pipe, f.commands, f.shared
		if f.deviceID != "" || f.deviceKey != "" {
			d.Process.Devices = []target.ProgramSpec{{ID: f.deviceID, Key: f.deviceKey}}
		}
	} else if f.deviceID != "" || f.deviceKey != "" || f.pipe || f.commands || f.shared {
		return nil, errors.New("--device-id, --device-key, --device-commands, --pipe and --shared-network are about --device process:COMMAND")
	}
	if f.image != "" && d.Process == nil && d.Rig == "" {
		return nil, errors.New("--device-image is about a board on a rig or a program: simulated devices take what is made up")
	}
	for _, text := range f.cutAt {
		if _, err := target.ParseUpdateMoment(text); err != nil {
			return nil, fmt.Errorf("--cut-at: %w", err)
		}
	}
	d.Image, d.CutAt = f.image, f.cutAt
	return &target.Spec{Device: d}, nil
}

// A consoleLog writes what boards say to a file, a line each, with the time of day.
type consoleLog struct{ path string }

// open returns a log that is made with its first line, and what closes it.
func (c consoleLog) open() (log target.BoardLog, stop func() error) {
	var f *os.File
	lock := make(chan struct{}, 1)
	log = func(source, line string) {
		lock <- struct{}{}
		defer func() { <-lock }()
		if f == nil {
			var err error
			_ = os.MkdirAll(filepath.Dir(c.path), 0o755)
			if f, err = os.OpenFile(c.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
				return // the run is worth more than its log
			}
		}
		fmt.Fprintf(f, "%s %-7s %s\n", time.Now().UTC().Format("15:04:05.000"), source, line)
	}
	return log, func() error {
		lock <- struct{}{}
		defer func() { <-lock }()
		if f == nil {
			return nil
		}
		return f.Close()
	}
}
