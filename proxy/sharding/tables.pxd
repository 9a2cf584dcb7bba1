cpdef unsigned long long hash_of(bytes key) except? 0
cpdef unsigned long long next_hash(unsigned long long number) noexcept
