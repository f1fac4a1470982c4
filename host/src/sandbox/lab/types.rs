//! Types of the contract as the engine lifts and lowers them, what they stand for in `kernels`, and what they cost in
//! fuel.

use kernels::op::{Binary, Compare, Unary};
use kernels::spec::DType;
use wasmtime::component::{ComponentType, Lift, Lower};

/// An enum of the contract whose cases are a `kernels` enum's.
macro_rules! contract_enum {
    ($(#[$derive:meta])* $name:ident => $target:ident { $($case:ident = $spelled:literal,)* }) => {
        #[allow(dead_code, reason = "made by lifting alone")]
        $(#[$derive])*
        #[derive(Clone, Copy, Debug, ComponentType, Lift)]
        #[component(enum)]
        #[repr(u8)]
        pub enum $name {
            $(#[component(name = $spelled)] $case,)*
        }

        impl From<$name> for $target {
            fn from(case: $name) -> Self {
                match case {
                    $($name::$case => Self::$case,)*
                }
            }
        }
    };
}

contract_enum! {
    #[derive(Lower)]
    Dtype => DType {
        F32 = "f32",
        U32 = "u32",
        Bf16 = "bf16",
        F16 = "f16",
        U8 = "u8",
        I64 = "i64",
        Bool = "bool",
    }
}

impl From<DType> for Dtype {
    fn from(dtype: DType) -> Self {
        match dtype {
            DType::F32 => Self::F32,
            DType::U32 => Self::U32,
            DType::Bf16 => Self::Bf16,
            DType::F16 => Self::F16,
            DType::U8 => Self::U8,
            DType::I64 => Self::I64,
            DType::Bool => Self::Bool,
        }
    }
}

contract_enum! {
    UnaryOp => Unary {
        Neg = "neg",
        Exp = "exp",
        Log = "log",
        Sqrt = "sqrt",
        Rsqrt = "rsqrt",
        Square = "square",
        Abs = "abs",
        Sin = "sin",
        Cos = "cos",
        Tanh = "tanh",
        Sigmoid = "sigmoid",
        Relu = "relu",
        ReluSquared = "relu-squared",
        Gelu = "gelu",
        Silu = "silu",
        Sign = "sign",
        Floor = "floor",
        Ceil = "ceil",
        Round = "round",
    }
}

contract_enum! {
    BinaryOp => Binary {
        Add = "add",
        Sub = "sub",
        Mul = "mul",
        Div = "div",
        Maximum = "maximum",
        Minimum = "minimum",
        Pow = "pow",
        Rem = "rem",
        And = "and",
        Or = "or",
        Xor = "xor",
        Shl = "shl",
        Shr = "shr",
    }
}

contract_enum! {
    CompareOp => Compare {
        Eq = "eq",
        Ne = "ne",
        Lt = "lt",
        Le = "le",
        Gt = "gt",
        Ge = "ge",
    }
}

#[allow(dead_code, reason = "made by lifting alone")]
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
pub enum ReduceOp {
    #[component(name = "sum")]
    Sum,
    #[component(name = "mean")]
    Mean,
    #[component(name = "max")]
    Max,
    #[component(name = "min")]
    Min,
}

#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(record)]
pub struct Adamw {
    pub lr: f32,
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
    #[component(name = "weight-decay")]
    pub weight_decay: f32,
    pub step: u32,
}

/// What a value costs to lift, in fuel.
pub trait Lifted {
    /// Fuel.
    fn fuel(&self) -> u64;
}

macro_rules! lifted_free {
    ($($type:ty),*) => { $(impl Lifted for $type { fn fuel(&self) -> u64 { 0 } })* };
}
lifted_free!(u32, f32, f64, bool, Dtype, UnaryOp, BinaryOp, CompareOp, ReduceOp, Adamw, Handle);

impl<T> Lifted for Vec<T> {
    fn fuel(&self) -> u64 {
        (size_of::<T>() as u64).saturating_mul(self.len() as u64).div_ceil(4)
    }
}

impl Lifted for String {
    fn fuel(&self) -> u64 {
        self.len() as u64
    }
}

macro_rules! lifted_tuple {
    ($($name:ident)*) => {
        impl<$($name: Lifted),*> Lifted for ($($name,)*) {
            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn fuel(&self) -> u64 {
                let ($($name,)*) = self;
                0u64 $(.saturating_add($name.fuel()))*
            }
        }
    };
}
lifted_tuple!();
lifted_tuple!(A);
lifted_tuple!(A B);
lifted_tuple!(A B C);
lifted_tuple!(A B C D);
lifted_tuple!(A B C D E);
lifted_tuple!(A B C D E F);

/// What a handle of the guest stands for is in [`State::handles`].
#[derive(Debug)]
pub struct Tensor;

pub(super) type Handle = wasmtime::component::Resource<Tensor>;
