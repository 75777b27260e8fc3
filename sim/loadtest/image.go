package loadtest

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/seed"
	"github.com/muster/muster/sim/profile"
	"github.com/muster/muster/sim/scenario"
)

// image returns what a campaign sends to devices of a profile: the file that it names,
// or an application's module that the board accepts.
func image(c *scenario.Campaign, folder string, p *profile.Profile) ([]byte, error) {
	if c.File != "" {
		path := c.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(folder, path)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("loadtest: campaign %s: %w", c.Name, err)
		}
		if _, err := module.ParseAll(b); err != nil {
			return nil, fmt.Errorf("loadtest: campaign %s: %s: %w", c.Name, path, err)
		}
		return b, nil
	}
	for _, slot := range p.Factory() {
		if slot.Function != profile.UserPart {
			continue
		}
		if c.Size > int(slot.Size) {
			return nil, fmt.Errorf("loadtest: campaign %s: %d bytes are more than the %d that an application of %s may have", c.Name, c.Size, slot.Size, p)
		}
		m := module.Module{Prefix: module.Prefix{
			Start: slot.Start, Version: uint16(c.Version), Platform: p.Board.Platform,
			Function: module.Function(slot.Function), Index: slot.Index,
		}}
		for i, d := range slot.Dependencies {
			if i < len(m.Dependencies) {
				m.Dependencies[i] = module.Dependency{Function: module.Function(d.Function), Index: d.Index, Version: d.Version}
			}
		}
		m.Fill(c.Size, seed.Bytes(uint64(c.Version), "campaign/"+c.Name))
		return m.Append(nil), nil
	}
	return nil, fmt.Errorf("loadtest: campaign %s: %s has no place for an application alone: give a file", c.Name, p)
}
