package endpoint

import (
	"strings"

	"github.com/muster/muster/protocol/pdc"
)

// A Group are the sessions that have these in common.
type Group struct {
	Transport string // "udp" or "tcp"
	// Generation is the release line of Device OS, such as "6.2", "" if it is not
	// known.
	Generation string
	Online     bool
}

// Census counts the sessions. It looks at every device.
func (n *Node) Census() map[Group]int {
	groups := make(map[Group]int)
	for _, d := range n.index.all() {
		if g, is := d.group(); is {
			groups[g]++
		}
	}
	return groups
}

func (d *device) group() (g Group, is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return g, false
	}
	g = Group{Transport: "udp", Online: d.online}
	if !d.current.udp() {
		g.Transport = "tcp"
	}
	if system := d.app.Dialect().System; system != 0 {
		g.Generation = releaseLine(pdc.Release(system))
	}
	return g, true
}

// releaseLine returns major and minor of a release such as "0.8.0-rc.12".
func releaseLine(release string) string {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 3 {
		return release
	}
	return parts[0] + "." + parts[1]
}
