// Package workers runs one fleet on many machines: a coordinator, which knows the
// run, and workers, which have its devices.
//
//	package plan     who runs what, and what is counted: machines without sockets
//	bus.go           what they share: a bucket and a stream of NATS JetStream
//	coordinate.go    drives a plan.Coordinator (muster fleet run --nats)
//	serve.go, job.go drive a plan.Worker (muster fleet worker)
//	outbox.go        brings what was measured to the stream, each thing once
//	seal.go          keeps secrets from those who watch NATS
//	hands.go         runs a part with package loadtest
//
// In the bucket, under the id of the run: what the run is (sealed for each worker),
// its parts, the leases, and when it begins. In the stream: samples. Everything that
// a coordinator needs to go on after it was killed is there. What only matters now
// (who is there, what time it is) goes over plain subjects.
//
// What this package is not: it knows no device, and measures nothing.
package workers
