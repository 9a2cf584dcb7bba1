cimport cython


@cython.locals(number=cython.ulonglong)
cpdef long long bucket_key(bytes salt, bytes key) except? 0
