package hooks

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/muster/muster/cloudref/store"
)

// Config is what a Runner needs. Zero fields mean the default that is stated.
type Config struct {
	// Timeout is how long a server may take. 20 s.
	Timeout time.Duration
	// Delays are the times to wait before a call that failed is repeated, for each
	// time that it is. 30 s and 60 s, which makes three attempts.
	Delays []time.Duration
	// NoRetries makes one attempt only.
	NoRetries bool
	// ThrottleAfter is after how many failures in a row a host is spared. 10.
	// ThrottlePause is how long it is left alone between calls then. 1 min.
	ThrottleAfter int
	ThrottlePause time.Duration
	// AtOnce bounds the calls under way, AtOncePerHost those to one host. 64 and 16.
	// An account has at most as many under way as there are places free.
	AtOnce, AtOncePerHost int
	// Deny are networks that webhooks must not reach, beside link-local ones and
	// this cloud itself: see [PrivateNetworks].
	Deny []netip.Prefix
	// DenyOwn denies them this machine, by whatever address.
	DenyOwn bool

	// Now returns the time of day. time.Now.
	Now func() time.Time
	// Log receives what an operator should read, without secrets. Nil: nobody.
	Log func(line string)
}

func (c Config) withDefaults() Config {
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	if c.Delays == nil {
		c.Delays = []time.Duration{30 * time.Second, 60 * time.Second}
	}
	if c.NoRetries {
		c.Delays = nil
	}
	if c.ThrottleAfter == 0 {
		c.ThrottleAfter = 10
	}
	if c.ThrottlePause == 0 {
		c.ThrottlePause = time.Minute
	}
	if c.AtOnce == 0 {
		c.AtOnce = 64
	}
	if c.AtOncePerHost == 0 {
		c.AtOncePerHost = 16
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = func(string) {}
	}
	return c
}

// storeDelay is how long to wait before a call whose answer could not be stored is
// made again.
func (c *Config) storeDelay() time.Duration {
	if len(c.Delays) > 0 {
		return c.Delays[0]
	}
	return 10 * time.Second
}

// A Cloud publishes what calls lead to.
type Cloud interface {
	// Reply publishes events that answer a call, and returns when they are durable.
	// None of them has hooks.
	Reply(ctx context.Context, hook *store.Hook, call *Call, replies []Reply) error
}

// A Runner makes the calls that are in the queue of a store, until Stop.
type Runner struct {
	Guard Guard

	c       Config
	store   *store.Store
	cloud   Cloud
	strict  *http.Client
	lax     *http.Client // takes any certificate
	hosts   throttle
	history histories
	ctx     context.Context // over when Stop was called
	cancel  context.CancelFunc
	stop    func()

	mu       sync.Mutex
	attempts map[uint64]int // of calls that failed, by number
	underWay sync.WaitGroup // calls; begun only while ctx is not over
	// dropped are the calls that were since the log said so, at droppedLogged.
	dropped       int
	droppedLogged time.Time
}

// NewRunner returns a runner that does nothing before Start.
func NewRunner(c Config, s *store.Store, cloud Cloud) *Runner {
	c = c.withDefaults()
	r := &Runner{
		c: c, store: s, cloud: cloud, attempts: make(map[uint64]int), stop: func() {},
		hosts: throttle{after: c.ThrottleAfter, pause: c.ThrottlePause, perHost: c.AtOncePerHost, atOnce: c.AtOnce},
	}
	r.history.store, r.history.log = s, c.Log
	r.Guard.Deny, r.Guard.DenyOwn = c.Deny, c.DenyOwn
	r.strict, r.lax = r.client(false), r.client(true)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// redirectsMax bounds how often a server may send a call elsewhere.
const redirectsMax = 5

func (r *Runner) client(anyCertificate bool) *http.Client {
	return &http.Client{
		Timeout: r.c.Timeout,
		Transport: &http.Transport{
			// No proxy: it would connect to what the guard never sees.
			DialContext:         r.Guard.dial,
			TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true,
			MaxIdleConns: 256, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12,
				//nolint:gosec // who made the hook asked for it: rejectUnauthorized is false
				InsecureSkipVerify: anyCertificate,
			},
		},
		CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > redirectsMax {
				return fmt.Errorf("more than %d redirections", redirectsMax)
			}
			return nil
		},
	}
}

// Start begins to make calls.
func (r *Runner) Start() (err error) {
	r.stop, err = r.store.ServeCalls(r.c.AtOnce, r.deliver)
	return err
}

// Stop ends the calls under way, which the next start makes again, and returns when
// they are over. It comes before the store closes.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.cancel()
	r.mu.Unlock()
	r.stop()
	r.underWay.Wait()
	r.history.wait()
}

// begin reports whether a call may begin; if so it ends with underWay.Done.
func (r *Runner) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return false
	}
	r.underWay.Add(1)
	return true
}

// History returns what became of the last calls of a hook, whichever node made them.
func (r *Runner) History(ctx context.Context, id store.DeviceID) (History, error) {
	return r.history.of(ctx, id)
}

// droppedLogEvery is how often the operator reads of calls that were dropped.
const droppedLogEvery = time.Minute

// Dropped notes that a call of a hook was dropped, because too many wait: of the hook,
// or of its account. It does not block.
func (r *Runner) Dropped(id store.DeviceID, why error) {
	text := fmt.Sprintf("%d calls of this webhook wait: one was dropped", store.CallsMax)
	if errors.Is(why, store.ErrShareFull) {
		text = "the calls of this account's webhooks that wait fill its share of the queue: one was dropped"
	}
	now := r.c.Now()
	r.history.note(id, Record{At: now, Error: text})
	r.mu.Lock()
	r.dropped++
	n, due := r.dropped, r.droppedLogged.IsZero() || now.Sub(r.droppedLogged) >= droppedLogEvery
	if due {
		r.dropped, r.droppedLogged = 0, now
	}
	r.mu.Unlock()
	if due {
		r.c.Log(fmt.Sprintf("webhook %s: %s (%d since this was last said). Is its server away?", id, text, n))
	}
}

// deliver makes one call of the queue.
func (r *Runner) deliver(d store.Delivery) {
	if !r.begin() {
		d.Retry(0)
		return
	}
	defer r.underWay.Done()
	hook, spec, call, err := r.read(&d)
	if err != nil {
		// The hook is gone, or nobody can read it: nothing will ever come of it.
		if !errors.Is(err, store.ErrNotFound) {
			r.c.Log(err.Error())
		}
		d.Done()
		return
	}
	host := hostOf(spec, call)
	switch r.hosts.enter(hook.Account, host, r.c.Now()) {
	case crowded:
		d.Retry(time.Second)
		return
	case sleeping:
		r.history.note(hook.ID, Record{At: r.c.Now(), Event: call.Name, Attempt: r.attemptOf(d.Number), Error: errSleeping})
		if delay, again := r.again(d.Number); again {
			d.Retry(delay)
			return
		}
		r.finish(&d, hook, call, spec.failure(call, hook.Product != 0, errSleeping))
		return
	case admitted:
	}
	stop := r.keepAlive(&d)
	defer stop()
	outcome := r.attempt(hook, spec, call, r.attemptOf(d.Number))
	r.hosts.leave(hook.Account, host, outcome.retry, r.c.Now())
	if r.ctx.Err() != nil {
		d.Retry(0) // whatever it says, the end of this process may be the reason
		return
	}
	if outcome.retry {
		if delay, again := r.again(d.Number); again {
			d.Retry(delay)
			return
		}
	}
	r.finish(&d, hook, call, outcome.replies)
}

// keepAlive says, while a call is being made, that it is.
func (r *Runner) keepAlive(d *store.Delivery) (stop func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	go func() {
		tick := time.NewTicker(store.CallPatience / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.Working()
			case <-ctx.Done():
				return
			}
		}
	}()
	return cancel
}

func (r *Runner) read(d *store.Delivery) (*store.Hook, *Spec, *Call, error) {
	hook, err := r.store.Hook(d.Hook)
	if err != nil {
		return nil, nil, nil, err
	}
	call, err := parseCall(d.Body)
	if err != nil {
		return nil, nil, nil, err
	}
	spec := new(Spec)
	if err := json.Unmarshal(hook.Spec, spec); err != nil {
		return nil, nil, nil, fmt.Errorf("hooks: webhook %s cannot be read: %w", hook.ID, err)
	}
	return hook, spec, call, nil
}

// hostOf is the host that a call goes to, as far as that is known without it.
func hostOf(s *Spec, c *Call) string {
	text, err := Render(s.URL, c.scope())
	if err != nil {
		return ""
	}
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// attemptOf is the number of the attempt that is about to be made, from 1.
func (r *Runner) attemptOf(call uint64) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.attempts[call] + 1
}

// again reports whether a call that failed is made again, and when. The count is
// this process's: after a restart it begins anew.
func (r *Runner) again(call uint64) (time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.attempts[call]
	if n >= len(r.c.Delays) {
		delete(r.attempts, call)
		return 0, false
	}
	r.attempts[call] = n + 1
	return r.c.Delays[n], true
}

// finish publishes what became of a call, and takes it off the queue.
func (r *Runner) finish(d *store.Delivery, hook *store.Hook, call *Call, replies []Reply) {
	if err := r.cloud.Reply(r.ctx, hook, call, replies); err != nil {
		if r.ctx.Err() == nil {
			r.c.Log(fmt.Sprintf("webhook %s: its answer was not stored, the call is made again: %v", hook.ID, err))
		}
		d.Retry(r.c.storeDelay())
		return
	}
	r.mu.Lock()
	delete(r.attempts, d.Number)
	r.mu.Unlock()
	d.Done()
}

// An outcome is what an attempt came to.
type outcome struct {
	replies []Reply
	retry   bool // it may succeed another time
	status  int
	body    []byte
	why     string // "" for success
}

// attempt makes a call once. That it was broken off by Stop is nothing to note of it.
func (r *Runner) attempt(hook *store.Hook, s *Spec, c *Call, n int) outcome {
	ctx, cancel := context.WithTimeout(r.ctx, r.c.Timeout)
	defer cancel()
	began := r.c.Now()
	o := r.call(ctx, s, c, hook.Product != 0)
	if o.why != "" && r.ctx.Err() != nil {
		return o
	}
	r.history.note(hook.ID, Record{
		At: began, Event: c.Name, Attempt: n, Duration: r.c.Now().Sub(began), Status: o.status, Error: o.why,
	})
	return o
}

func (r *Runner) call(ctx context.Context, s *Spec, c *Call, product bool) (o outcome) {
	failed := func(retry bool, format string, args ...any) outcome {
		o.why, o.retry = fmt.Sprintf(format, args...), retry
		o.replies = append(o.replies, s.failure(c, product, o.why)...)
		return o
	}
	request, err := s.request(ctx, c)
	if err != nil {
		return failed(false, "%v", err)
	}
	client := r.strict
	if s.AnyCertificate {
		client = r.lax
	}
	o.replies = []Reply{c.sent()}
	answer, err := client.Do(request)
	if err != nil {
		return failed(!errors.Is(err, ErrDenied), "%s", r.reason(err, request.URL.Hostname()))
	}
	defer answer.Body.Close()
	o.status = answer.StatusCode
	if o.body, err = readAnswer(answer); err != nil {
		return failed(true, "%s", r.reason(err, request.URL.Hostname()))
	}
	if answer.StatusCode/100 != 2 {
		return failed(answer.StatusCode/100 == 5, "error status %d from %s", answer.StatusCode, request.URL.Hostname())
	}
	replies, err := s.replies(c, product, answer.Header.Get("Content-Type"), o.body)
	if err != nil {
		return failed(false, "%v", err)
	}
	o.replies = append(o.replies, replies...)
	return o
}

// reason says why a server gave no answer, without what only this machine should
// know, such as addresses.
func (r *Runner) reason(err error, host string) string {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.Is(err, ErrDenied):
		return ErrDenied.Error()
	case errors.As(err, &dns):
		return "the name of the host " + host + " is unknown"
	case errors.As(err, &network) && network.Timeout():
		return fmt.Sprintf("error: no answer from %s within %v", host, r.c.Timeout)
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return "error: the certificate of " + host + " is not trusted"
	}
	return "error: no connection to " + host
}

// Test makes a call at once, outside the queue and without events, and returns the
// body of the answer.
func (r *Runner) Test(ctx context.Context, hook *store.Hook, c *Call) ([]byte, error) {
	spec := new(Spec)
	if err := json.Unmarshal(hook.Spec, spec); err != nil {
		return nil, fmt.Errorf("hooks: webhook %s cannot be read: %w", hook.ID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	o := r.call(ctx, spec, c, hook.Product != 0)
	if o.why != "" {
		return nil, &SpecError{o.why}
	}
	return o.body, nil
}
