// Package variant turns what ledgers hold from JSON, as the API and people have it,
// into CBOR, as devices have it, and back.
//
// The top is always an object. Numbers that are whole stay whole; others become
// floating-point numbers of 64 bits. What JSON cannot say comes out as the nearest
// that it can: bytes as base64, and numbers that are none as null.
package variant

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// How deep values may lie in one another, and how many may lie in one.
const (
	maxLevels   = 32
	maxElements = 16384
)

var (
	errObject = errors.New("the data is not an object")
	errKey    = errors.New("a key is not text")
	errLimits = fmt.Errorf("the data is nested deeper than %d levels, or has more than %d values in one", maxLevels, maxElements)
)

var encoding = func() cbor.EncMode {
	// Device OS: it reads numbers of any size, but writes only these.
	mode, err := cbor.EncOptions{Sort: cbor.SortCoreDeterministic, ShortestFloat: cbor.ShortestFloatNone}.EncMode()
	if err != nil {
		panic(err) // of constants
	}
	return mode
}()

var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, MaxNestedLevels: maxLevels, MaxArrayElements: maxElements, MaxMapPairs: maxElements,
		IntDec: cbor.IntDecConvertNone, UTF8: cbor.UTF8RejectInvalid,
	}.DecMode()
	if err != nil {
		panic(err) // of constants
	}
	return mode
}()

// ToCBOR turns a JSON object into CBOR. The error says what is wrong with it: it is no
// object, a number is too large, or it is nested deeper than [FromCBOR] reads.
func ToCBOR(data json.RawMessage) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil || d.More() {
		return nil, errObject
	}
	value, err := plain(object)
	if err != nil {
		return nil, err
	}
	b, err := encoding.Marshal(value)
	if err != nil {
		return nil, err
	}
	if err := decoding.Wellformed(b); err != nil { // nobody could read it back
		return nil, errLimits
	}
	return b, nil
}

// plain replaces the numbers of encoding/json.
func plain(value any) (any, error) {
	switch value := value.(type) {
	case json.Number:
		return number(value)
	case []any:
		for i := range value {
			v, err := plain(value[i])
			if err != nil {
				return nil, err
			}
			value[i] = v
		}
	case map[string]any:
		for k := range value {
			v, err := plain(value[k])
			if err != nil {
				return nil, err
			}
			value[k] = v
		}
	}
	return value, nil
}

func number(n json.Number) (any, error) {
	if !strings.ContainsAny(n.String(), ".eE") {
		if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
			return i, nil
		}
		if u, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			return u, nil
		}
	}
	f, err := n.Float64()
	if err != nil {
		return nil, fmt.Errorf("the number %.40s is too large", n)
	}
	return f, nil
}

// FromCBOR turns a CBOR map into JSON. Nothing at all is an empty object.
func FromCBOR(data []byte) (json.RawMessage, error) {
	if len(data) == 0 {
		return json.RawMessage("{}"), nil
	}
	var value any
	if err := decoding.Unmarshal(data, &value); err != nil {
		return nil, fmt.Errorf("not CBOR: %w", err)
	}
	if _, isMap := value.(map[any]any); !isMap {
		return nil, errObject
	}
	clean, err := jsonable(value)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(clean); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// jsonable makes of a value what JSON can say.
func jsonable(value any) (any, error) {
	switch value := value.(type) {
	case map[any]any:
		object := make(map[string]any, len(value))
		for k, v := range value {
			name, ok := k.(string)
			if !ok {
				return nil, errKey
			}
			inner, err := jsonable(v)
			if err != nil {
				return nil, err
			}
			object[name] = inner
		}
		return object, nil
	case []any:
		for i := range value {
			inner, err := jsonable(value[i])
			if err != nil {
				return nil, err
			}
			value[i] = inner
		}
		return value, nil
	case []byte:
		return base64.StdEncoding.EncodeToString(value), nil
	case float64:
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return nil, nil
		}
		return value, nil
	case cbor.Tag:
		return jsonable(value.Content)
	case nil, bool, string, int64, uint64:
		return value, nil
	case big.Int:
		return value.String(), nil
	default:
		return fmt.Sprint(value), nil
	}
}
