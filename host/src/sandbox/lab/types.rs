//! Types of the contract as the engine lifts and lowers them, with their counterparts in `kernels` and their cost in
//! fuel.

use kernels::op::{Binary, Compare, Unary};
use kernels::spec::DType;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Makes an enum of the contract from the table of the matching `kernels` enum.
macro_rules! contract_enum {
    (
        $name:ident => $target:ident {
            $($(#[doc = $doc:literal])+ $case:ident = $code:literal $spelled:literal $($column:literal)*,)+
        }
    ) => {
        #[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
        #[component(enum)]
        #[repr(u8)]
        pub enum $name {
            $(#[component(name = $spelled)] $case,)+
        }

        impl From<$name> for $target {
            fn from(case: $name) -> Self {
                match case {
                    $($name::$case => Self::$case,)+
                }
            }
        }

        impl From<$target> for $name {
            fn from(case: $target) -> Self {
                match case {
                    $($target::$case => Self::$case,)+
                }
            }
        }
    };
}

kernels::dtypes!(contract_enum Dtype => DType);
kernels::unary_functions!(contract_enum UnaryOp => Unary);
kernels::binary_functions!(contract_enum BinaryOp => Binary);
kernels::compare_functions!(contract_enum CompareOp => Compare);

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

/// The fuel cost of lifting a value.
pub trait Lifted {
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

/// The type of a guest's handles. The state's `handles` map them to tensors.
#[derive(Debug)]
pub struct Tensor;

pub(super) type Handle = wasmtime::component::Resource<Tensor>;
