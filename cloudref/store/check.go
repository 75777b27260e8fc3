package store

import (
	"context"
	"fmt"
)

// healthKey is where Check writes.
const healthKey = "health"

// Check writes something that nobody needs, and returns why that failed: an error
// that wraps [ErrFull], [ErrUnavailable] or [ErrBusy], nil if the storage is well.
func (s *Store) Check(ctx context.Context) error {
	now := s.backend.now().UTC().AppendFormat(nil, "2006-01-02T15:04:05Z")
	if _, err := s.put(ctx, write{bucket: bucketMeta, key: healthKey, value: now}); err != nil {
		return fmt.Errorf("a write for trial: %w", err)
	}
	return nil
}
