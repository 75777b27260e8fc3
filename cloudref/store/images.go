package store

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// PutImage stores a firmware image, at most [MaxImage] bytes. To store one that
// is there already does nothing.
func (s *Store) PutImage(ctx context.Context, data []byte) (ImageID, error) {
	id := ImageID(sha256.Sum256(data))
	if len(data) > MaxImage {
		return id, fmt.Errorf("image of %d bytes: %w", len(data), ErrTooLarge)
	}
	return id, s.backend.putImage(ctx, id, data)
}

// Image returns the content of a firmware image, which is checked against its
// id. The error is [ErrNotFound] if there is none.
func (s *Store) Image(ctx context.Context, id ImageID) ([]byte, error) {
	data, err := s.backend.image(ctx, id)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(data) != id {
		return nil, fmt.Errorf("store: image %s is damaged", id)
	}
	return data, nil
}

// Images lists the firmware images in the order of their ids.
func (s *Store) Images(ctx context.Context) ([]Image, error) { return s.backend.images(ctx) }

// RemoveImage forgets a firmware image. The error is [ErrNotFound] if there is
// none.
func (s *Store) RemoveImage(ctx context.Context, id ImageID) error {
	return s.backend.deleteImage(ctx, id)
}
