package flash

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/muster/muster/protocol/module"
	"github.com/muster/muster/protocol/pdc"
)

// imageMax bounds what is read of a file: more than any board's flash holds.
const imageMax = 16 << 20

// An Image is a firmware file that was read and is sound in itself.
type Image struct {
	Name    string // of the file
	Data    []byte
	Modules []module.Module // one, or two that are combined
}

// moduleName is what people call a module; boards have several system parts.
func moduleName(f module.Function, index uint8) string {
	if f == pdc.ModuleSystemPart {
		return fmt.Sprintf("%s %d", f, index)
	}
	return f.String()
}

// Load reads an image. The error of a file that is none says what is wrong with
// it.
func Load(name string) (*Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	// What is a pipe or a device tells no size, and may never end.
	data, err := io.ReadAll(io.LimitReader(f, imageMax+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > imageMax {
		return nil, fmt.Errorf("%s has more than %d bytes: no board's firmware is that large", name, imageMax)
	}
	return Parse(name, data)
}

// Parse is Load of a file that was read already.
func Parse(name string, data []byte) (*Image, error) {
	if strings.HasPrefix(string(data), "PK\x03\x04") {
		return nil, fmt.Errorf("%s is a bundle: unpack it (unzip), and flash its .bin files one by one, assets last", name)
	}
	all, err := module.ParseAll(data)
	if err != nil {
		return nil, fmt.Errorf("%s is no firmware image, or a part of one: %w: build or fetch it again", name, err)
	}
	for i := range all {
		m := &all[i]
		if !m.CRCValid() || !m.HashValid() {
			return nil, fmt.Errorf("%s is damaged: its checksum is wrong; build or fetch it again", name)
		}
	}
	return &Image{Name: name, Data: data, Modules: all}, nil
}

// String describes the image for people.
func (i *Image) String() string {
	var parts []string
	for _, m := range i.Modules {
		part := fmt.Sprintf("%s for %s", moduleName(m.Function, m.Index), m.Platform)
		if m.Version != 0 {
			part += fmt.Sprintf(", version %d", m.Version)
		}
		if product, ok := m.ProductOf(); ok {
			part += fmt.Sprintf(", product %d version %d", product.ID, product.Version)
		}
		parts = append(parts, part)
	}
	return fmt.Sprintf("%s (%d bytes)", strings.Join(parts, " and "), len(i.Data))
}

// Check reports whether the image is for a board of that platform with those
// modules; nil modules are not known, and not checked.
func (i *Image) Check(platform pdc.Platform, modules []pdc.ModuleInfo) error {
	target := module.Target{Platform: platform, Compressed: platform.Gen3(), StrictUser: true}
	if modules != nil {
		target.Installed = module.FromDescribe(&pdc.SystemDescribe{Modules: modules})
	}
	_, err := target.Check(i.Data)
	var wrong *module.Error
	if !errors.As(err, &wrong) {
		if err == nil {
			err = i.fits(modules)
		}
		return err
	}
	switch wrong.Code { //nolint:exhaustive // the others say enough themselves
	case pdc.ErrPlatform:
		return fmt.Errorf("this image is for %s, and the board is %s: build it for the board", i.Modules[0].Platform, platform)
	case pdc.ErrDependency:
		return i.missing(target.Installed)
	}
	return fmt.Errorf("this image does not fit the board: %w", err)
}

// missing says which module the board lacks.
func (i *Image) missing(installed []module.Installed) error {
	var missing []module.Dependency
	for n := range i.Modules {
		missing = append(missing, i.Modules[n].Missing(installed)...)
	}
	if len(missing) == 0 {
		return &MissingError{"this image needs modules that the board lacks"}
	}
	d, has := missing[0], "has none"
	for _, have := range installed {
		if have.Function == d.Function && have.Index == d.Index && !have.Empty {
			has = fmt.Sprintf("has version %d", have.Version)
		}
	}
	return &MissingError{fmt.Sprintf("this image needs %s in version %d, and the board %s: flash that first", moduleName(d.Function, d.Index), d.Version, has)}
}

// A MissingError is an image that is for this board, once it has another module.
type MissingError struct{ Reason string }

// Error returns the reason.
func (e *MissingError) Error() string { return e.Reason }

// fits checks the sizes of slots that are known.
func (i *Image) fits(modules []pdc.ModuleInfo) error {
	for n := range i.Modules {
		m := &i.Modules[n]
		for _, have := range modules {
			same := have.Function == m.Function && have.Index == uint32(m.Index) && have.Store == pdc.StoreMain
			if same && have.MaxSize > 0 && m.Length() > int64(have.MaxSize) {
				return fmt.Errorf("this image has %d bytes, and the board's slot for its %s holds %d", m.Length(), moduleName(m.Function, m.Index), have.MaxSize)
			}
		}
	}
	return nil
}

// hashHex is the SHA-256 that a module tells of itself.
func hashHex(m *module.Module) string { return hex.EncodeToString(m.Hash[:]) }
