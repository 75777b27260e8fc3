// Package selfwatch tells whether a generator of load was itself the bottleneck, so
// that nobody blames a cloud for what happened on this side.
//
// A [Watcher] measures: once an interval it says how busy the process and its
// machine were, how long goroutines waited for a core, what the garbage collector
// took. A [Judge] is pure: it hears the samples of a run and finds the phases that
// this generator spoilt.
//
// The judge tells symptoms from causes. A busy processor is no symptom: a generator
// that uses every core and still begins everything in time measures well. Symptoms
// are that arrivals began late, that goroutines waited, that the kernel dropped or
// refused datagrams; each makes times longer or load smaller than the scenario
// says. Processor, garbage collector and memory are causes, and decide what a
// person should change.
package selfwatch
