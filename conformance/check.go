package conformance

import (
	"context"
	"fmt"

	"github.com/muster/muster/conformance/requirements"
	"github.com/muster/muster/harness/target"
)

// A Suite is a group of checks on one subject.
type Suite struct {
	// Name is the first half of a check's name: "resume".
	Name string
	// Text says in one sentence what the suite is about.
	Text string
	// Prepare brings the environment into the state that the checks look at, once
	// for all generations. An error makes every check of the suite inconclusive:
	// it means that the harness could not do what it was asked to. Nil: the checks
	// bring stages of their own, in virtual time, and need no sockets.
	Prepare func(ctx context.Context, e *target.Env) error
	Checks  []Check
}

// A Check judges one thing on one generation of devices.
type Check struct {
	// Name is the second half of its name: "bytes" in "resume/bytes". It is
	// stable.
	Name string
	// Text says in one sentence what is required.
	Text string
	// Provoke says what it does to see that, Observe what it looks at, each as half
	// a sentence. They are data for "muster explain".
	Provoke, Observe string
	// Requirements are what it judges, ids of the catalogue: of the transports
	// ("R-71"), of the application ("C-13", "D-11", "N-19"), or claims ("S6").
	Requirements []string
	// Needs are checks of the same suite whose traffic this one judges: they run
	// too when it alone is asked for.
	Needs []string
	// Skip, if not nil, says why the check does not apply to a generation, "" if
	// it does.
	Skip func(g *target.Group) string
	// Judge, if not nil, judges one conversation from its packets alone: then the
	// check is passive, and "muster judge" applies it to recorded traffic.
	Judge func(c *Conversation, r *Recorder)
	// Run does and judges. What it returns as an error is the harness's fault and
	// makes the check inconclusive; what the target did wrong goes to r. A passive
	// check may leave it nil: then Judge looks at every device of the group.
	Run func(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error
}

// run is Run, or what stands for it.
func (c *Check) run(ctx context.Context, e *target.Env, g *target.Group, r *Recorder) error {
	if c.Run == nil {
		return judgeAlone(c.Judge)(ctx, e, g, r)
	}
	return c.Run(ctx, e, g, r)
}

// verify panics if the table of suites is wrong: names that collide, checks
// without a requirement, requirements that do not exist.
func verify(suites []Suite) {
	seen := map[string]bool{}
	catalogue, err := requirements.Load()
	if err != nil {
		panic(fmt.Sprintf("conformance: %v", err))
	}
	for _, s := range suites {
		for _, c := range s.Checks {
			name := s.Name + "/" + c.Name
			switch {
			case seen[name]:
				panic(fmt.Sprintf("conformance: two checks are called %s", name))
			case c.Run == nil && c.Judge == nil || c.Text == "" || len(c.Requirements) == 0:
				panic(fmt.Sprintf("conformance: check %s lacks a text, a requirement or a function", name))
			}
			seen[name] = true
			for _, needed := range c.Needs {
				if !seen[s.Name+"/"+needed] {
					panic(fmt.Sprintf("conformance: check %s needs %q, which no check before it is called", name, needed))
				}
			}
			for _, id := range c.Requirements {
				if catalogue.Get(id) == nil {
					panic(fmt.Sprintf("conformance: check %s cites %q, which is no requirement", name, id))
				}
			}
		}
	}
}

// Why a check does not apply to a transport.
const (
	noTCP = "the TCP transport has none"
	noUDP = "the UDP transport has none"
)

// onlyUDP skips devices over TCP.
func onlyUDP(g *target.Group) string {
	if g.Transport != "udp" {
		return noTCP
	}
	return ""
}

// onlyTCP skips devices over UDP.
func onlyTCP(g *target.Group) string {
	if g.Transport != "tcp" {
		return noUDP
	}
	return ""
}
