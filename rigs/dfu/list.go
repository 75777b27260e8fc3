package dfu

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A Found is one alternate setting of a board in DFU mode, as dfu-util lists it.
type Found struct {
	Vendor, Product uint16
	Path            string // USB path, as 1-1.4; empty before dfu-util 0.9
	Serial          string // not always that of the running board
	Alt             int
	Name            string // memory layout, as "@DCT Flash   /0x00000000/01*016Kg"
}

var found = regexp.MustCompile(`(?m)^Found DFU: \[([0-9a-f]{4}):([0-9a-f]{4})\] (.*)$`)

// List returns the boards in DFU mode, one entry for each of their memories.
func (t Tool) List(ctx context.Context) ([]Found, error) {
	out, err := t.run(ctx, nil, "-l")
	if err != nil {
		return nil, err
	}
	var all []Found
	for _, m := range found.FindAllStringSubmatch(out.stdout, -1) {
		vendor, _ := strconv.ParseUint(m[1], 16, 16) // the pattern has checked them
		product, _ := strconv.ParseUint(m[2], 16, 16)
		f := Found{Vendor: uint16(vendor), Product: uint16(product)}
		for name, value := range attributes(m[3]) {
			switch name {
			case "path":
				f.Path = value
			case "serial":
				f.Serial = value
			case "name":
				f.Name = value
			case "alt":
				if f.Alt, err = strconv.Atoi(value); err != nil {
					return nil, fmt.Errorf("dfu-util lists an alternate setting %q", value)
				}
			}
		}
		all = append(all, f)
	}
	return all, nil
}

// attributes reads name=value pairs; quoted values hold commas.
func attributes(text string) map[string]string {
	all := map[string]string{}
	for text != "" {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			break
		}
		var value string
		if quoted, isQuoted := strings.CutPrefix(rest, `"`); isQuoted {
			value, text, _ = strings.Cut(quoted, `"`)
			text = strings.TrimPrefix(text, ",")
		} else {
			value, text, _ = strings.Cut(rest, ",")
		}
		all[strings.TrimSpace(name)] = value
		text = strings.TrimSpace(text)
	}
	return all
}
