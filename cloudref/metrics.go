package cloudref

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/muster/muster/cloudref/app"
	"github.com/muster/muster/cloudref/endpoint"
)

// metrics are what the cloud tells Prometheus. No label names a device, an account
// or an address: whoever may read how busy the cloud is learns of nobody.
type metrics struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
	cut      prometheus.Counter
	commands *prometheus.HistogramVec
	requests *prometheus.HistogramVec
	streams  prometheus.Counter
}

// latencies are the upper bounds of the histograms, in seconds: from a call within
// the machine to a device that takes its whole 30 s.
var latencies = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

func newMetrics(c *Cloud) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_cloud_events_total", Help: "Events that were stored and passed on, by who published them.",
		}, []string{"from"}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_cloud_stream_readers_cut_total", Help: "Event streams that were ended because their reader did not keep up.",
		}),
		commands: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_cloud_command_duration_seconds", Help: "Time until a device answered a command, by command and result.", Buckets: latencies,
		}, []string{"command", "result"}),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_cloud_api_request_duration_seconds", Help: "Time to answer a request of the REST API, event streams left out.", Buckets: latencies,
		}, []string{"route", "code"}),
		streams: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "muster_cloud_streams_opened_total", Help: "Event streams that were opened.",
		}),
	}
	m.registry.MustRegister(m.events, m.cut, m.commands, m.requests, m.streams, &census{cloud: c},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Metrics returns a handler that tells Prometheus of the cloud.
func (c *Cloud) Metrics() http.Handler {
	return promhttp.HandlerFor(c.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// commanded notes how long a device took, and what came of it.
func (m *metrics) commanded(command string, began time.Time, err error) {
	result := "ok"
	var failure *app.Failure
	switch {
	case errors.As(err, &failure):
		result = failure.Reason.String()
	case err != nil:
		result = "given up"
	}
	m.commands.WithLabelValues(command, result).Observe(time.Since(began).Seconds())
}

// measured notes the requests to a handler with patterns, such as an
// http.ServeMux.
func (m *metrics) measured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, status := time.Now(), &statusWriter{ResponseWriter: w}
		if r.Method == http.MethodGet && isStream(r.URL.Path) {
			m.streams.Inc()
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(status, r)
		route := r.Pattern // set by the mux
		if route == "" {
			route = "other"
		}
		m.requests.WithLabelValues(route, strconv.Itoa(status.status)).Observe(time.Since(began).Seconds())
	})
}

// A census collects what is counted elsewhere, when somebody asks.
type census struct {
	cloud *Cloud

	mu     sync.Mutex
	at     time.Time
	groups map[endpoint.Group]int
}

// censusEvery is how old the count of sessions may be: it looks at every device.
const censusEvery = 5 * time.Second

var (
	descSessions = prometheus.NewDesc("muster_cloud_sessions", "Sessions, by transport, release line of Device OS, and whether their device was heard of lately.", []string{"transport", "device_os", "state"}, nil)
	descDevices  = prometheus.NewDesc("muster_cloud_devices", "Registered devices.", nil, nil)
	descHalfOpen = prometheus.NewDesc("muster_cloud_handshakes_open", "DTLS handshakes under way.", nil, nil)
	descReaders  = prometheus.NewDesc("muster_cloud_stream_readers", "Open event streams.", nil, nil)
	descTrust    = prometheus.NewDesc("muster_cloud_trust_seconds", "How much longer unknown devices are registered when they connect.", nil, nil)
	descRefused  = prometheus.NewDesc("muster_cloud_refusals_total", "What was refused to devices, by reason.", []string{"reason"}, nil)
	descDropped  = prometheus.NewDesc("muster_cloud_records_dropped_total", "DTLS records and datagrams that were dropped, by reason.", []string{"reason"}, nil)
	descWaiting  = prometheus.NewDesc("muster_cloud_webhook_calls_waiting", "Webhook calls that wait or are under way.", nil, nil)
	descBacklog  = prometheus.NewDesc("muster_cloud_webhook_queue_bytes", "How much of the queue of webhook calls (1 GiB) is used, as sizes are rounded.", nil, nil)
	descUncalled = prometheus.NewDesc("muster_cloud_webhook_calls_dropped_total", "Webhook calls that were dropped: too many of the hook waited, or its account's share of the queue was full.", []string{"reason"}, nil)
	descShakes   = prometheus.NewDesc("muster_cloud_handshakes_total", "Handshakes, by what became of them.", []string{"result"}, nil)
)

// A tally is a counter of the node under the name that it has in Prometheus.
type tally struct {
	desc *prometheus.Desc
	read func(*endpoint.Counts) uint64
}

func newTally(name, help string, read func(*endpoint.Counts) uint64) tally {
	return tally{prometheus.NewDesc(name, help, nil, nil), read}
}

var tallies = []tally{
	newTally("muster_cloud_datagrams_total", "Datagrams received.", func(c *endpoint.Counts) uint64 { return c.Datagrams.Load() }),
	newTally("muster_cloud_streams_total", "TCP connections of devices.", func(c *endpoint.Counts) uint64 { return c.Streams.Load() }),
	newTally("muster_cloud_hellos_total", "Hellos that were accepted.", func(c *endpoint.Counts) uint64 { return c.Hellos.Load() }),
	newTally("muster_cloud_resumes_total", "Sessions that devices resumed.", func(c *endpoint.Counts) uint64 { return c.Resumed.Load() }),
	newTally("muster_cloud_moves_total", "Sessions that changed their address.", func(c *endpoint.Counts) uint64 { return c.Moved.Load() }),
	newTally("muster_cloud_adoptions_total", "Sessions taken over from other nodes.", func(c *endpoint.Counts) uint64 { return c.Adopted.Load() }),
	newTally("muster_cloud_unmoved_total", "Records of sessions of other nodes that moved nothing: forged, or late.", func(c *endpoint.Counts) uint64 { return c.Unmoved.Load() }),
	newTally("muster_cloud_deliveries_total", "Events given to devices that subscribed.", func(c *endpoint.Counts) uint64 { return c.Deliveries.Load() }),
	newTally("muster_cloud_unstored_total", "Answers to devices that were held back because the storage failed.", func(c *endpoint.Counts) uint64 { return c.Unstored.Load() }),
	newTally("muster_cloud_pool_full_total", "Datagrams of handshakes dropped because too many were under way.", func(c *endpoint.Counts) uint64 { return c.PoolFull.Load() + c.HalfOpenEvicted.Load() }),
	newTally("muster_cloud_probes_total", "Reachability probes that were echoed.", func(c *endpoint.Counts) uint64 { return c.ProbesEchoed.Load() }),
}

// Describe implements prometheus.Collector.
func (*census) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSessions, descDevices, descHalfOpen, descReaders, descTrust, descRefused, descDropped, descShakes, descWaiting, descBacklog, descUncalled} {
		to <- d
	}
	for _, t := range tallies {
		to <- t.desc
	}
}

// Collect implements prometheus.Collector.
func (x *census) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	node := x.cloud.node
	counts := node.Counts()
	for g, n := range x.sessions() {
		state := "away"
		if g.Online {
			state = "online"
		}
		gauge(descSessions, float64(n), g.Transport, g.Generation, state)
	}
	gauge(descDevices, float64(x.cloud.store.Registered()))
	gauge(descHalfOpen, float64(node.HalfOpen()))
	gauge(descReaders, float64(x.cloud.events.count()))
	gauge(descTrust, x.cloud.trust.left().Seconds())
	for r := range endpoint.NumReasons {
		counter(descRefused, counts.Refused(r), r.String())
	}
	for reason, n := range counts.Dropped() {
		counter(descDropped, n, reason)
	}
	calls := x.cloud.store.CallsWaiting()
	gauge(descWaiting, float64(calls.Calls))
	gauge(descBacklog, float64(calls.Bytes))
	counter(descUncalled, calls.DroppedHook, "hook")
	counter(descUncalled, calls.DroppedShare, "share")
	counter(descShakes, counts.Handshakes.Load(), "begun")
	counter(descShakes, counts.Secured.Load(), "completed")
	counter(descShakes, counts.HandshakeFailed.Load(), "failed")
	for _, t := range tallies {
		counter(t.desc, t.read(counts))
	}
}

func (x *census) sessions() map[endpoint.Group]int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if time.Since(x.at) > censusEvery {
		x.groups, x.at = x.cloud.node.Census(), time.Now()
	}
	return x.groups
}
