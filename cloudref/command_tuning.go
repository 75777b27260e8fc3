package cloudref

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/pflag"

	"github.com/muster/muster/cloudref/api"
	"github.com/muster/muster/cloudref/endpoint"
)

// A tuning is what tests change of the cloud: how long it waits for devices and
// servers, and where the real service did something else at other times.
type tuning struct {
	device                                  time.Duration
	offlineStatus                           int
	provenReleases                          bool
	hookTimeout, hookPause                  time.Duration
	hookRetries                             []time.Duration
	noHookRetries                           bool
	silenceCellular, silenceUDP, silenceTCP time.Duration
}

func (t *tuning) flags(f *pflag.FlagSet) {
	f.DurationVar(&t.device, "device-timeout", 30*time.Second, "how long a function, a variable or a ping waits for its device")
	f.IntVar(&t.offlineStatus, "offline-call", http.StatusBadRequest, "status of a function call to a device that does not answer: 400 as recorded, 408 as documented")
	f.BoolVar(&t.provenReleases, "proven-releases", false, "release a product's firmware only when one of its devices runs it, as the real service does")
	f.DurationVar(&t.hookTimeout, "hook-timeout", 20*time.Second, "how long the server of a webhook may take")
	f.DurationSliceVar(&t.hookRetries, "hook-retries", []time.Duration{30 * time.Second, time.Minute}, "how long to wait before each further attempt of a webhook that failed")
	f.BoolVar(&t.noHookRetries, "no-hook-retries", false, "call a webhook once only")
	f.DurationVar(&t.hookPause, "hook-pause", time.Minute, "time between calls to a host that failed ten times in a row")
	f.DurationVar(&t.silenceCellular, "silence-cellular", 46*time.Minute+30*time.Second, "how long a cellular device may be silent before it is offline")
	f.DurationVar(&t.silenceUDP, "silence-udp", 90*time.Second, "the same for other devices over UDP")
	f.DurationVar(&t.silenceTCP, "silence-tcp", 40*time.Second, "the same for devices over TCP")
}

// apply puts into o what is not for the API.
func (t *tuning) apply(o *Options) error {
	for flag, d := range map[string]time.Duration{
		"--device-timeout": t.device, "--hook-timeout": t.hookTimeout, "--hook-pause": t.hookPause,
		"--silence-cellular": t.silenceCellular, "--silence-udp": t.silenceUDP, "--silence-tcp": t.silenceTCP,
	} {
		if d <= 0 {
			return fmt.Errorf("%s %v: want a time such as 500ms or 30s", flag, d)
		}
	}
	for _, d := range t.hookRetries {
		if d <= 0 {
			return fmt.Errorf("--hook-retries %v: want times such as 100ms,1s; for none use --no-hook-retries", d)
		}
	}
	if t.offlineStatus != http.StatusBadRequest && t.offlineStatus != http.StatusRequestTimeout {
		return errors.New("--offline-call: want 400 or 408")
	}
	o.AnswerTimeout = t.device
	o.Hooks.Timeout, o.Hooks.Delays, o.Hooks.NoRetries, o.Hooks.ThrottlePause = t.hookTimeout, t.hookRetries, t.noHookRetries, t.hookPause
	o.Adjust = func(c *endpoint.Config) {
		c.SilenceCellular, c.SilenceOther, c.SilenceTCP = t.silenceCellular, t.silenceUDP, t.silenceTCP
	}
	return nil
}

// api returns what is for the API.
func (t *tuning) api() api.Config {
	return api.Config{DeviceTimeout: t.device, CallOffline: t.offlineStatus, ProvenReleases: t.provenReleases}
}
