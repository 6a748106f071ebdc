"""Operations of acme for jobproc."""
