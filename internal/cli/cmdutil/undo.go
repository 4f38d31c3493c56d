package cmdutil

import (
	"slices"

	"github.com/cxgctl/cxgctl/internal/audit"
	"github.com/cxgctl/cxgctl/internal/fault"
	"github.com/cxgctl/cxgctl/internal/invoices"
	"github.com/cxgctl/cxgctl/internal/roles"
	"github.com/cxgctl/cxgctl/internal/tenants"
	"github.com/cxgctl/cxgctl/internal/users"
)

// Undoable are the resources whose changes can be undone.
var Undoable = []audit.Resource{users.Resource, invoices.Resource, tenants.Resource, tenants.MemberResource, roles.Resource}

// FindUndoable returns the resource that audit rows call by the name.
func FindUndoable(name string) (audit.Resource, error) {
	i := slices.IndexFunc(Undoable, func(r audit.Resource) bool { return r.Name == name })
	if i < 0 {
		return audit.Resource{}, fault.New(fault.Validation, "a change of a %s cannot be undone", name).With("resource", name)
	}
	return Undoable[i], nil
}

// NoteUnsealedUndo warns that an undo relies on an audit log without seals.
func NoteUnsealedUndo(env *Env, log *audit.Log) {
	if !log.Sealed() {
		env.Note("the database has no seals, so the undo trusts the audit log as it is; cxgctl migrate up adds them")
	}
}

// MayReverse requires the permissions for undoing a change of an import by hand.
func (w *Writer) MayReverse(noun string, a audit.Action) error {
	r, err := FindUndoable(noun)
	if err != nil {
		return err
	}
	return w.Require(r.Permissions(a)...)
}
