// Package workload decides what a fleet is to do and when: arrivals, rates,
// distributions. It takes a seed and a time and says what is next.
//
// The model is open: what is due does not depend on how fast the cloud answered
// what was due before. So a slow cloud gets no relief, and what waits is measured
// from the moment at which it was due.
//
//   - A [Shape] is a rate over time, made of straight lines and steps.
//   - A [Spread] is a distribution of intervals, sizes or values.
//   - A [Stream] is one thing that each of many devices does once or again and
//     again, in the order of time.
//
// Every draw is a function of the seed, the stream's name, the device and how
// often the device has drawn: equal seeds give an equal load, over however many
// shards, processes or machines the devices are spread.
//
// What this package is not: devices, sockets or a clock.
package workload
