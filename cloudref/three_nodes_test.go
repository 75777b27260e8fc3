package cloudref

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

var clusterTest = flag.Bool("cluster", false, "kill nodes and NATS servers for longer than a test should take")

// childEnv makes the test program a process of the cluster: "nats" or "cloud",
// and what it needs as JSON.
const childEnv = "MUSTER_CLUSTER_CHILD"

type childArgs struct {
	Kind string   `json:"kind"`
	Args []string `json:"args,omitempty"` // of "cloud"
	// Files is how many files and sockets the process may have open, 0 for as many as
	// this one.
	Files uint64 `json:"files,omitempty"`
	Name  string `json:"name,omitempty"` // of "nats", with its ports
	Port  int    `json:"port,omitempty"`
	Peer  int    `json:"peer,omitempty"`
	All   []int  `json:"all,omitempty"`
	Dir   string `json:"dir,omitempty"`
}

// TestMain lets the test program be a node or a NATS server.
func TestMain(m *testing.M) {
	if text := os.Getenv(childEnv); text != "" {
		os.Exit(runChild(text))
	}
	os.Exit(m.Run())
}

func runChild(text string) int {
	var c childArgs
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if c.Files > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: c.Files, Max: c.Files}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
	}
	if c.Kind == "nats" {
		runNATS(c)
		return 1
	}
	cmd := Command()
	cmd.SetArgs(c.Args)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// runNATS is one of the servers of a JetStream cluster, until it is killed.
func runNATS(c childArgs) {
	o := &server.Options{
		ServerName: c.Name, Host: "127.0.0.1", Port: c.Port, JetStream: true, StoreDir: c.Dir, NoSigs: true, NoLog: true,
		Cluster: server.ClusterOpts{Name: "muster", Host: "127.0.0.1", Port: c.Peer},
	}
	for _, port := range c.All {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprint("127.0.0.1:", port)})
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	s.Start()
	fmt.Println("up")
	s.WaitForShutdown()
}

// A process is a child of the test.
type process struct {
	cmd *exec.Cmd
	log *syncBuffer
}

func startProcess(t *testing.T, c childArgs) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0]), log: &syncBuffer{}}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(must(json.Marshal(c))))
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// kill ends the process as a crash would.
func (p *process) kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Signal(syscall.SIGKILL)
		_ = p.cmd.Wait()
	}
}

// freePorts returns ports for those who are away now and then, and come back to
// the same. Nobody has one right now, neither of TCP nor of UDP, and nobody is given
// one in the meantime: systems give those of 32768 and more.
func freePorts(t *testing.T, n int) (ports []int) {
	t.Helper()
	for range 1000 {
		address := fmt.Sprint("127.0.0.1:", 10000+rand.IntN(20000))
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", address)
		if err != nil {
			continue
		}
		defer l.Close()
		u, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", address)
		if err != nil {
			continue
		}
		defer u.Close()
		if ports = append(ports, l.Addr().(*net.TCPAddr).Port); len(ports) == n {
			return ports
		}
	}
	t.Fatal("no free ports")
	return nil
}

// freeAddress is a loopback address with a port as of [freePorts].
func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprint("127.0.0.1:", freePorts(t, 1)[0])
}

// A stage is three nodes on three NATS servers, all of them processes, with
// devices, readers of event streams and a webhook.
type stage struct {
	t       *testing.T
	nats    []childArgs
	servers []*process
	dirs    []string
	urls    string
	nodes   []*node
	token   string
	puppets []*roamer
	readers []*reader
	hook    *counter
}

// A node is one process of the cloud.
type node struct {
	process *process
	udp     netip.AddrPort
	api     string
	down    atomic.Bool
}

// A counter counts what was seen by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
}

func (c *counter) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[name]
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t}
	ports := freePorts(t, 6)
	var urls []string
	for i := range 3 {
		s.nats = append(s.nats, childArgs{
			Kind: "nats", Name: fmt.Sprint("n", i), Port: ports[i], Peer: ports[3+i], All: ports[3:], Dir: t.TempDir(),
		})
		s.servers = append(s.servers, startProcess(t, s.nats[i]))
		urls = append(urls, fmt.Sprint("nats://127.0.0.1:", ports[i]))
	}
	s.urls = strings.Join(urls, ",")
	for i := range 3 {
		s.dirs = append(s.dirs, t.TempDir())
		if i > 0 {
			copyKeys(t, s.dirs[0], s.dirs[i])
		}
		s.nodes = append(s.nodes, s.start(i, freeAddress(t)))
	}
	s.token = readLogin(t, filepath.Join(s.dirs[0], fileLoginNATS))["token"]
	return s
}

// start starts a node on its data directory.
func (s *stage) start(i int, udp string) *node {
	s.t.Helper()
	n := &node{process: startProcess(s.t, childArgs{Kind: "cloud", Args: []string{
		"--data", s.dirs[i], "--nats", s.urls, "--udp", udp, "--tcp", "", "--http", "127.0.0.1:0", "--host", "127.0.0.1",
	}})}
	eventually(s.t, "the node is up: "+n.process.log.String(), func() bool { return strings.Contains(n.process.log.String(), "the cloud is up") })
	text := n.process.log.String()
	_, address, _ := strings.Cut(text, " udp=")
	address, _, _ = strings.Cut(address, " ")
	n.udp, n.api = must(netip.ParseAddrPort(address)), apiOf(text)
	return n
}

// post sends a request to the API of a node and returns the status.
func (s *stage) post(n *node, path, body string) (status int, answer string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	r := must(http.NewRequestWithContext(ctx, http.MethodPost, n.api+path, strings.NewReader(body)))
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		return 0, err.Error()
	}
	return a.StatusCode, string(text)
}

// A reader reads the event stream of one node and counts what it sees.
type reader struct {
	counter
	ready chan struct{}
}

func (s *stage) read(n *node) *reader {
	s.t.Helper()
	x := &reader{ready: make(chan struct{})}
	r := must(http.NewRequestWithContext(s.t.Context(), http.MethodGet, n.api+"/v1/devices/events", http.NoBody))
	r.Header.Set("Authorization", "Bearer "+s.token)
	go func() {
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return
		}
		defer answer.Body.Close()
		close(x.ready)
		for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
			if name, is := strings.CutPrefix(lines.Text(), "event: "); is {
				x.add(name)
			}
		}
	}()
	select {
	case <-x.ready:
	case <-time.After(patience):
		s.t.Fatal("no event stream")
	}
	return x
}

// A roamer is a device that publishes all the time, and goes on at another node
// when its own is gone.
type roamer struct {
	*puppet
	stage     *stage
	at        int // node
	confirmed []string
	count     int
}

// live publishes until stop.
func (r *roamer) live(stop *atomic.Bool) error {
	for !stop.Load() {
		if r.stage.nodes[r.at].down.Load() {
			r.at = (r.at + 1) % len(r.stage.nodes)
			r.link.ForgetSent()
			if err := r.resume(r.stage.nodes[r.at].udp); err != nil {
				return err
			}
		}
		r.count++
		name := fmt.Sprintf("temp/%s/%d", r.id, r.count)
		id := r.post(r.publish(name, "x"))
		there := r.at
		r.run(patience, func() bool { return r.acked[id] || r.stage.nodes[there].down.Load() })
		switch {
		case r.acked[id]:
			r.confirmed = append(r.confirmed, name)
		case !r.stage.nodes[there].down.Load():
			return fmt.Errorf("device %s: no acknowledgement in two minutes: %w", r.id, r.ended)
		}
		r.run(20*time.Millisecond, func() bool { return false })
	}
	return nil
}

// load makes the devices publish while do happens.
func (s *stage) load(do func()) {
	s.t.Helper()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, r := range s.puppets {
		wg.Go(func() {
			if err := r.live(&stop); err != nil {
				s.t.Error(err)
			}
		})
	}
	do()
	stop.Store(true)
	wg.Wait()
}

func (s *stage) confirmed() (n int) {
	for _, r := range s.puppets {
		n += len(r.confirmed)
	}
	return n
}

const roamers = 9

// TestThreeNodes runs a cloud of three nodes on three NATS servers, kills one of
// each while devices publish, and counts what was promised.
func TestThreeNodes(t *testing.T) {
	t.Parallel() // it waits most of the time
	if testing.Short() {
		t.Skip("takes half a minute: elections")
	}
	pause := 2 * time.Second
	if *clusterTest {
		pause = 20 * time.Second
	}
	s := newStage(t)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(io.LimitReader(r.Body, 1<<16)); err == nil {
			s.hook.add(body.String())
		}
	}))
	defer hook.Close()
	s.hook = &counter{}
	if status, answer := s.post(s.nodes[2], "/v1/webhooks", `{"event":"temp","url":"`+hook.URL+`","requestType":"POST","body":"{{{PARTICLE_EVENT_NAME}}}","noDefaults":true}`); status != http.StatusCreated {
		t.Fatalf("making a webhook: %d %s", status, answer)
	}
	key, err := loadKey(s.dirs[0], fileECKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range roamers {
		r := &roamer{puppet: newPuppet(n+1, &key.(*ecdsa.PrivateKey).PublicKey), stage: s, at: n % 3}
		// A key that one node is told is known to all.
		file := writePEM(t, "PUBLIC KEY", r.spki())
		if _, _, err := execute(t.Context(), "device", "add", r.id.String(), "--key", file, "--data", s.dirs[n%2]); err != nil {
			t.Fatal(err)
		}
		s.puppets = append(s.puppets, r)
	}
	for _, r := range s.puppets {
		if err := r.dial(s.nodes[r.at].udp); err != nil {
			t.Fatal(err)
		}
		var err error
		eventually(t, "the device gets in", func() bool { err = r.connect(); return err == nil })
	}
	s.readers = []*reader{nil, s.read(s.nodes[1]), s.read(s.nodes[2])}

	begun := time.Now()
	s.load(func() { time.Sleep(pause) })
	quiet := s.confirmed()
	t.Logf("%d events acknowledged in %v with three of each", quiet, time.Since(begun).Round(time.Millisecond))

	// A node.
	s.load(func() {
		time.Sleep(pause / 4)
		s.nodes[0].process.kill()
		s.nodes[0].down.Store(true)
		time.Sleep(pause)
	})
	afterNode := s.confirmed()
	t.Logf("%d more with one node killed", afterNode-quiet)

	// Commands find devices wherever they are, also those that moved.
	for _, r := range s.puppets {
		stop := inBackground(r.puppet)
		for _, n := range s.nodes[1:] {
			status, answer := s.post(n, "/v1/devices/"+r.id.String()+"/double", `{"arg":"12345"}`)
			if status != http.StatusOK || !strings.Contains(answer, `"return_value":10`) {
				t.Errorf("calling device %s, which is at node %d: %d %s", r.id, r.at, status, answer)
			}
		}
		stop()
	}

	// A NATS server. Nothing is acknowledged until there is a leader again.
	s.load(func() {
		time.Sleep(pause / 4)
		s.servers[0].kill()
		before := s.called()
		eventually(t, "events are acknowledged by two servers", func() bool { return s.called() > before+2*roamers })
		time.Sleep(pause)
	})
	afterServer := s.confirmed()
	t.Logf("%d more with one NATS server killed", afterServer-afterNode)

	// Both come back.
	s.servers[0] = startProcess(t, s.nats[0])
	s.nodes[0] = s.start(0, s.nodes[0].udp.String())
	s.load(func() {
		time.Sleep(pause)
		eventually(t, "enough to judge", func() bool { return s.called() > 25*roamers })
	})
	t.Logf("%d more with both back", s.confirmed()-afterServer)
	s.judge()
}

// called is for how many events the webhook was called: what can be counted while
// devices publish.
func (s *stage) called() (n int) {
	s.hook.mu.Lock()
	defer s.hook.mu.Unlock()
	return len(s.hook.n)
}

// judge counts what was promised and not kept.
func (s *stage) judge() {
	s.t.Helper()
	missing := func(c *counter) (n int) {
		for _, r := range s.puppets {
			for _, name := range r.confirmed {
				if c.get(name) == 0 {
					n++
				}
			}
		}
		return n
	}
	twice := func(c *counter) (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for name, count := range c.n {
			if strings.HasPrefix(name, "temp/") && count > 1 {
				n += count - 1
			}
		}
		return n
	}
	for i, x := range s.readers {
		if x != nil {
			eventually(s.t, fmt.Sprintf("the reader at node %d has seen everything (%d are missing)", i, missing(&x.counter)), func() bool { return missing(&x.counter) == 0 })
		}
	}
	eventually(s.t, "the webhook was called for everything", func() bool { return missing(s.hook) == 0 })
	again, back := 0, 0
	for _, r := range s.puppets {
		again += r.shakes - 1
		back += r.back
	}
	s.t.Logf("%d events acknowledged; %d handshakes again; %d sequences that went back; seen twice: %d and %d by readers, %d by the webhook",
		s.confirmed(), again, back, twice(&s.readers[1].counter), twice(&s.readers[2].counter), twice(s.hook))
	if again+back > 0 {
		s.t.Error("a device had to begin anew, or the cloud repeated a sequence")
	}
	if twice(&s.readers[1].counter)+twice(&s.readers[2].counter) > 0 {
		s.t.Error("a reader has seen an event twice")
	}
	// A call that was under way when its node died, or whose end a NATS server heard that
	// died, is made again: at most 16 for each node, which calls a host no more often at once.
	if twice(s.hook) > 4*16 {
		s.t.Error("the webhook was called twice without need")
	}
	if s.confirmed() < 20*roamers {
		s.t.Error("too little happened: the test tests nothing")
	}
}
